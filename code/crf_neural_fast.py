"""The inner kernel of crf_neural.py: weighted sums of sigmoids of broadcast sums, forward and backward in small pieces.

    out[p, q] = sum_f theta[f] * sigmoid(x[p, f] + y[q, f])

All sigmoids at once would be [P, Q, F], hundreds of megabytes that go to main memory and come back. A piece of them
fits in the cache; the backward pass computes the pieces anew rather than keeping them. `compile_kernels` puts
compiled loops, which need no pieces, in the place of both passes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

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
    forward_kernel, backward_kernel = staticmethod(_forward), staticmethod(_backward)

    @staticmethod
    def forward(ctx, x, y, theta):
        x, y, theta = x.contiguous(), y.contiguous(), theta.contiguous()
        ctx.save_for_backward(x, y, theta)
        return _SumOfSigmoids.forward_kernel(x, y, theta)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_out):
        return _SumOfSigmoids.backward_kernel(*ctx.saved_tensors, by_out.contiguous())


def sum_of_sigmoids(
    x: Float[Tensor, "P F"], y: Float[Tensor, "Q F"], theta: Float[Tensor, "F"]
) -> Float[Tensor, "P Q"]:
    """out[p, q] = sum_f theta[f] sigmoid(x[p, f] + y[q, f]), in O(PIECE) extra memory."""
    return _SumOfSigmoids.apply(x, y, theta)


def compile_kernels() -> str | None:
    """Compile both passes with torch.compile (half a minute, once a process); what is wrong if it fails, else None."""

    def forward(x: Tensor, y: Tensor, theta: Tensor) -> Tensor:
        return (torch.sigmoid(x[:, :, None] + y.T) * theta[:, None]).sum(dim=1)

    def backward(x: Tensor, y: Tensor, theta: Tensor, by_out: Tensor) -> Gradients:
        sigmoids = torch.sigmoid(x[:, None, :] + y)
        weighted = by_out[:, :, None] * sigmoids
        slope = weighted * (1 - sigmoids)
        return slope.sum(dim=1) * theta, slope.sum(dim=0) * theta, weighted.sum(dim=(0, 1))

    compiled = torch.compile(forward, dynamic=True), torch.compile(backward, dynamic=True)
    try:
        with torch.no_grad():  # as inside an autograd.Function; with gradients it would be compiled again
            for P, Q, F in ((832, 576, 16), (832, 24, 64), (5, 7, 3)):
                x, y, theta, by_out = torch.randn(P, F), torch.randn(Q, F), torch.randn(F), torch.randn(P, Q)
                made = (compiled[0](x, y, theta), *compiled[1](x, y, theta, by_out))
    except Exception as error:  # whatever a missing or broken compiler does
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    wanted = (_forward(x, y, theta), *_backward(x, y, theta, by_out))
    if not all(torch.allclose(a, b, atol=1e-5) for a, b in zip(made, wanted)):
        return "the compiled kernels give other results"
    _SumOfSigmoids.forward_kernel, _SumOfSigmoids.backward_kernel = (staticmethod(kernel) for kernel in compiled)
    return None
