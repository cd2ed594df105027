"""Log-space addition whose gradient is 0, not nan, where every argument is -inf.

The derivative of z = log sum_j exp x_j with respect to x_j is the softmax exp(x_j - z). Where all x_j are -inf (no path
leads to this tag), z is -inf too, and torch computes exp(-inf - -inf) = nan; the chain rule carries the nan to every
parameter. The value of -inf is right, and the gradient that training wants is 0: a sum over no paths stays a sum over
no paths whatever the potentials along them are.

    logsumexp_safe(x, dim), logaddexp_safe(x, y)    the two operations as plain functions, twice differentiable

Importing this module also makes `torch.logsumexp`, `torch.logaddexp` and the `Tensor` methods of these names take a
keyword `safe_inf` (default False: torch as it was):

    import logsumexp_safe
    torch.logsumexp(x, dim=1, safe_inf=True)
    x.logaddexp(y, safe_inf=True)

Source: reading handout, section I.2, "Problem with log 0"; https://github.com/pytorch/pytorch/issues/49724.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

# torch's own operations, also where this module was loaded before and has replaced them.
_logsumexp = inspect.unwrap(torch.logsumexp)
_logaddexp = inspect.unwrap(torch.logaddexp)


def logsumexp_safe(x: Float[Tensor, "..."], dim: int | tuple[int, ...], keepdim: bool = False) -> Float[Tensor, "..."]:
    """log sum exp x over `dim`, in nats: the value of `torch.logsumexp`, with gradient 0 where the result is -inf.

    Args:
        x: any shape; -inf and +inf allowed. It is not changed.
        dim: the dimension or dimensions to sum over; negative ones count from the end.
        keepdim: keep them, with size 1.
    """
    # BEGIN SOLUTION
    result = _logsumexp(x, dim, keepdim)
    empty = result == -math.inf
    if not empty.any():
        return result  # the softmax is defined everywhere, so torch's gradient is right
    # Where a sum is empty, torch gets zeros in place of x and we replace its answer. The gradient of masked_fill is 0
    # where the mask is set, so nothing flows back through the replaced answer, and were something to flow, the
    # softmax of zeros is finite. Where the mask is not set, both masks are the identity.
    arguments = x.masked_fill((x == -math.inf).all(dim, keepdim=True), 0.0)
    return _logsumexp(arguments, dim, keepdim).masked_fill(empty, -math.inf)
    # END SOLUTION


def logaddexp_safe(x: Float[Tensor, "*#shape"], y: Float[Tensor, "*#shape"]) -> Float[Tensor, "..."]:
    """log(exp x + exp y), in nats: the value of `torch.logaddexp`, with gradient 0 where both are -inf.

    Args:
        x, y: of one shape, or broadcast to one; -inf and +inf allowed. They are not changed.
    """
    # BEGIN SOLUTION
    no_x, no_y = x == -math.inf, y == -math.inf
    either = no_x | no_y
    if not either.any():
        return _logaddexp(x, y)
    # With one argument -inf the sum is the other one (torch's first derivative is right there, its second is nan);
    # with both the last mask cuts the gradient off, as above.
    both = _logaddexp(x.masked_fill(either, 0.0), y.masked_fill(either, 0.0))
    return torch.where(no_x, y, torch.where(no_y, x, both)).masked_fill(no_x & no_y, -math.inf)
    # END SOLUTION


def _with_safe_inf(original: Callable[..., Tensor], safe: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`original` with a keyword `safe_inf` that chooses `safe`."""
    names = {"input": "x", "other": "y"}  # torch's names of the arguments, and ours

    @functools.wraps(original)
    def operation(*args, safe_inf: bool = False, **kwargs) -> Tensor:
        if not safe_inf or kwargs.get("out") is not None:  # torch gives no gradients with out=, so none is nan
            return original(*args, **kwargs)
        kwargs.pop("out", None)
        return safe(*args, **{names.get(name, name): value for name, value in kwargs.items()})

    return operation


for _owner in torch, torch.Tensor:
    _owner.logsumexp = _with_safe_inf(inspect.unwrap(_owner.logsumexp), logsumexp_safe)
    _owner.logaddexp = _with_safe_inf(inspect.unwrap(_owner.logaddexp), logaddexp_safe)
