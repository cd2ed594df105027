"""The inner kernel of crf_neural.py: weighted sums of sigmoids of broadcast sums, forward and backward in small pieces.

    out[p, q] = sum_f theta[f] * sigmoid(x[p, f] + y[q, f])

All sigmoids at once would be [P, Q, F], hundreds of megabytes that go to main memory and come back. A piece of them
fits in the cache; the backward pass computes the pieces anew rather than keeping them. The compiled loops of
chain_compiled.py, where they are loaded, need no pieces and fewer exponentials.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

import chain_compiled

PIECE = 2**19  # sigmoids at once; 2 MB of float32 stay in a core's cache

Gradients = tuple[Tensor, Tensor, Tensor]


def _pieces(x: Float[Tensor, "P F"], y: Float[Tensor, "Q F"]) -> Iterator[tuple[slice, Tensor]]:
    """Slices of P, each with its sigmoids [piece, F, Q] in a buffer that the next one overwrites."""
    y = y.T.contiguous()
    size = max(1, PIECE // max(1, y.numel()))
    buffer = x.new_empty(min(size, len(x)), *y.shape)
    for begin in range(0, len(x), size):
        rows = x[begin : begin + size]
        yield slice(begin, begin + size), torch.add(rows[:, :, None], y, out=buffer[: len(rows)]).sigmoid_()


def _forward(x: Tensor, y: Tensor, theta: Tensor) -> Tensor:
    out = x.new_empty(len(x), len(y))
    for piece, sigmoids in _pieces(x, y):
        torch.matmul(theta, sigmoids, out=out[piece])
    return out


def _backward(x: Tensor, y: Tensor, theta: Tensor, by_out: Tensor) -> Gradients:
    by_x, by_y, by_theta = torch.empty_like(x), y.new_zeros(y.shape[1], y.shape[0]), torch.zeros_like(theta)
    for piece, sigmoids in _pieces(x, y):
        weight = by_out[piece]
        by_theta += torch.bmm(sigmoids, weight[:, :, None]).sum(dim=0)[:, 0]
        # weight * sigmoid * (1 - sigmoid), in place
        slope = torch.ops.aten.sigmoid_backward.grad_input(weight[:, None, :], sigmoids, grad_input=sigmoids)
        torch.sum(slope, dim=2, out=by_x[piece])
        by_y += slope.sum(dim=0)
    return by_x * theta, by_y.T * theta, by_theta


class _SumOfSigmoids(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, theta):
        x, y, theta = x.contiguous(), y.contiguous(), theta.contiguous()
        ctx.save_for_backward(x, y, theta)
        compiled = chain_compiled.sum_of_sigmoids(x, y, theta)
        return _forward(x, y, theta) if compiled is None else compiled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_out):
        parts = *ctx.saved_tensors, by_out.contiguous()
        compiled = chain_compiled.gradients_of_sigmoids(*parts)
        return _backward(*parts) if compiled is None else compiled


def sum_of_sigmoids(
    x: Float[Tensor, "P F"], y: Float[Tensor, "Q F"], theta: Float[Tensor, "F"]
) -> Float[Tensor, "P Q"]:
    """out[p, q] = sum_f theta[f] sigmoid(x[p, f] + y[q, f]), in O(PIECE) extra memory."""
    return _SumOfSigmoids.apply(x, y, theta)
