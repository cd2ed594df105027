"""The inner kernel of crf_neural.py: weighted sums of sigmoids of broadcast sums, forward and backward in small pieces.

    out[p, q] = sum_f theta[f] * sigmoid(x[p, f] + y[q, f])

All sigmoids at once would be [P, Q, F], hundreds of megabytes that are written and read again from main memory. A piece of
them fits in the cache; the backward pass computes the pieces anew rather than keeping them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

PIECE = 2**19  # sigmoids at once; 2 MB of float32 stay in a core's cache


class _SumOfSigmoids(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, theta):
        ctx.save_for_backward(x, y, theta)
        out = x.new_empty(len(x), len(y))
        for piece, sigmoids in _pieces(x, y):
            torch.matmul(theta, sigmoids, out=out[piece])
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_out):
        x, y, theta = ctx.saved_tensors
        by_x, by_y, by_theta = torch.empty_like(x), y.new_zeros(y.shape[1], y.shape[0]), torch.zeros_like(theta)
        for piece, sigmoids in _pieces(x, y):
            weight = by_out[piece]
            by_theta += torch.bmm(sigmoids, weight[:, :, None]).sum(dim=0)[:, 0]
            # weight * sigmoid * (1 - sigmoid), in place
            slope = torch.ops.aten.sigmoid_backward.grad_input(weight[:, None, :], sigmoids, grad_input=sigmoids)
            torch.sum(slope, dim=2, out=by_x[piece])
            by_y += slope.sum(dim=0)
        return by_x * theta, by_y.T * theta, by_theta


def _pieces(x: Float[Tensor, "P F"], y: Float[Tensor, "Q F"]):
    """Slices of P, each with its sigmoids [piece, F, Q] in a buffer that the next one overwrites."""
    y = y.T.contiguous()
    size = max(1, PIECE // max(1, y.numel()))
    buffer = x.new_empty(min(size, len(x)), *y.shape)
    for begin in range(0, len(x), size):
        rows = x[begin : begin + size]
        yield slice(begin, begin + size), torch.add(rows[:, :, None], y, out=buffer[: len(rows)]).sigmoid_()


def sum_of_sigmoids(
    x: Float[Tensor, "P F"], y: Float[Tensor, "Q F"], theta: Float[Tensor, "F"]
) -> Float[Tensor, "P Q"]:
    """out[p, q] = sum_f theta[f] sigmoid(x[p, f] + y[q, f]), in O(PIECE) extra memory."""
    return _SumOfSigmoids.apply(x, y, theta)
