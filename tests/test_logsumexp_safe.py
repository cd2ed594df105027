"""logsumexp_safe and logaddexp_safe: torch's values, and gradients that are 0, not nan, at an empty sum."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import logsumexp_safe as module
from logsumexp_safe import logaddexp_safe, logsumexp_safe

pytestmark = pytest.mark.task_logsumexp_safe
INF = math.inf
DTYPES = [torch.float32, torch.float64]
NUMBERS = st.one_of(st.floats(-1e4, 1e4), st.sampled_from([-INF, -INF, INF, 0.0, math.nan]))


def tensor(values: object, dtype: torch.dtype = torch.float64, grad: bool = True) -> Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=grad)


def softmax(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The gradient that is wanted: the softmax, and 0 where the sum is empty. No argument may be +inf."""
    top = x.max(axis=axes, keepdims=True)
    weights = np.exp(x - np.where(top == -INF, 0, top))
    total = weights.sum(axis=axes, keepdims=True)
    return weights / np.where(total == 0, 1, total)


@pytest.fixture(params=[False, True], ids=["clean", "with an empty sum"])
def x(request: pytest.FixtureRequest) -> Iterator[Tensor]:
    """[2, 3, 4] with scattered -inf; in the second case some slices are all -inf along every dimension."""
    values = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    values[0, 0, 1] = values[1, 2, 3] = -INF
    if request.param:
        values[0, 1, :] = values[1, :, 2] = values[:, 2, 0] = -INF
        values[1] = torch.where(torch.arange(3)[:, None] == 1, -INF, values[1])
    yield values.requires_grad_()


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, (0,), (1, 2), (0, -1), (-3, 1, 2)])
def test_logsumexp_value_and_gradient(x: Tensor, dim: int | tuple[int, ...], keepdim: bool) -> None:
    result = logsumexp_safe(x, dim, keepdim)
    expected = torch.logsumexp(x.detach(), dim, keepdim)
    torch.testing.assert_close(result.detach(), expected)  # checks the shape too
    upstream = torch.randn(result.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad(result, x, upstream)
    axes = tuple(d % 3 for d in (dim if isinstance(dim, tuple) else (dim,)))
    spread = upstream if keepdim else upstream.reshape([1 if d in axes else size for d, size in enumerate(x.shape)])
    wanted = spread.numpy() * softmax(x.detach().numpy(), axes)
    np.testing.assert_allclose(gradient.numpy(), wanted, rtol=1e-12, atol=1e-15)


def test_torch_alone_gives_nan() -> None:
    """The reason for this module. If torch is mended some day, this test says so."""
    row = tensor([-INF, -INF])
    assert torch.autograd.grad(torch.logsumexp(row, 0), row)[0].isnan().all()
    assert torch.autograd.grad(torch.logaddexp(row[0], row[1]), row)[0].isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_of_an_empty_sum_is_zero(dtype: torch.dtype) -> None:
    rows = tensor([[-INF, -INF], [1.0, -INF], [0.0, 0.0]], dtype)
    result = logsumexp_safe(rows, 1)
    assert result.dtype == dtype
    result.sum().backward()
    assert rows.grad is not None and rows.grad.tolist() == [[0, 0], [1, 0], [0.5, 0.5]]
    a, b = tensor([-INF, 1.0, -INF, 0.0], dtype), tensor([-INF, -INF, 2.0, 0.0], dtype)
    total = logaddexp_safe(a, b)
    assert total.dtype == dtype
    torch.testing.assert_close(total, tensor([-INF, 1.0, 2.0, math.log(2)], dtype))
    total.sum().backward()
    assert a.grad is not None and a.grad.tolist() == [0, 1, 0, 0.5]
    assert b.grad is not None and b.grad.tolist() == [0, 0, 1, 0.5]


def test_infinite_upstream_gradient_stays_out_of_an_empty_sum() -> None:
    """d log p / d p is infinite at p = 0; it must not come through as 0 times inf."""
    row, x, y = tensor([-INF, -INF]), tensor([-INF]), tensor([-INF])
    logsumexp_safe(row, 0).exp().log().backward()
    logaddexp_safe(x, y).exp().log().sum().backward()
    assert all(v.grad is not None and (v.grad == 0).all() for v in (row, x, y))


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(values=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4))
def test_values_are_those_of_torch(dtype: torch.dtype, values: list[tuple[float, float]]) -> None:
    pairs = tensor(values, dtype, grad=False)
    before = pairs.clone()
    for dim in (0, 1):
        torch.testing.assert_close(logsumexp_safe(pairs, dim), torch.logsumexp(pairs, dim), equal_nan=True)
    x, y = pairs.unbind(1)
    torch.testing.assert_close(logaddexp_safe(x, y), torch.logaddexp(x, y), equal_nan=True)
    torch.testing.assert_close(pairs, before, equal_nan=True, rtol=0, atol=0)


def test_sums_over_nothing() -> None:
    nothing = torch.zeros(3, 0, dtype=torch.float64, requires_grad=True)
    result = logsumexp_safe(nothing, 1)
    assert result.tolist() == [-INF] * 3
    result.sum().backward()
    assert nothing.grad is not None and nothing.grad.shape == (3, 0)


def test_plus_infinity() -> None:
    assert logsumexp_safe(tensor([[INF, 0.0], [INF, -INF], [INF, INF], [-INF, -INF]]), 1).tolist() == [INF] * 3 + [-INF]
    assert logaddexp_safe(tensor([INF, INF, -INF]), tensor([0.0, -INF, -INF])).tolist() == [INF, INF, -INF]


@pytest.mark.parametrize("shapes", [((2, 1), (3,)), ((3,), (2, 3)), ((), (4,)), ((2, 1, 3), (4, 1)), ((1,), (1,))])
def test_logaddexp_broadcasts(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)
    x.view(-1)[0] = y.view(-1)[0] = -INF
    x, y = x.requires_grad_(), y.requires_grad_()
    result, expected = logaddexp_safe(x, y), torch.logaddexp(x, y).detach()
    torch.testing.assert_close(result.detach(), expected)  # checks the shape too
    result.sum().backward()
    full = torch.stack(torch.broadcast_tensors(x.detach(), y.detach()))
    share = torch.from_numpy(softmax(full.numpy(), (0,)))
    assert x.grad is not None and y.grad is not None
    torch.testing.assert_close(x.grad, share[0].sum_to_size(x.shape))
    torch.testing.assert_close(y.grad, share[1].sum_to_size(y.shape))


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_first_and_second_derivatives(x: Tensor, check: Callable[..., bool]) -> None:
    """Perturbing -inf leaves -inf, so the numerical derivative there is 0: what is wanted."""
    for dim in (1, (0, 2)):
        assert check(lambda v: logsumexp_safe(v, dim).exp(), (x,))
    a, b = x[0].detach().clone().requires_grad_(), x[1].detach().clone().requires_grad_()
    assert check(lambda v, w: logaddexp_safe(v, w).exp(), (a, b))


def test_impossible_state_in_a_chain() -> None:
    """The handout's case: a tag that no path reaches at one position, and a tag reached by one path only."""
    trans = tensor([[0.5, -INF], [1.0, -INF]])
    alpha = tensor([0.0, -INF])
    for _ in range(3):
        alpha = logsumexp_safe(alpha[:, None] + trans, 0)
    total = logsumexp_safe(alpha, 0)
    total.backward()
    assert total.item() == pytest.approx(1.5)
    assert trans.grad is not None and trans.grad.tolist() == [[3, 0], [0, 0]]


def check_patched() -> None:
    """`safe_inf` reaches all four operations, with torch's own argument names; without it they are as they were."""
    row = tensor([[-INF, -INF], [0.0, -INF]])
    x, y = row.unbind(1)
    safe = [
        torch.logsumexp(row, 1, safe_inf=True),
        torch.logsumexp(input=row, dim=(1,), keepdim=False, safe_inf=True),
        row.logsumexp(-1, safe_inf=True),
        row.logsumexp(dim=1, safe_inf=True),
        torch.logaddexp(x, y, safe_inf=True),
        torch.logaddexp(input=x, other=y, safe_inf=True),
        x.logaddexp(y, safe_inf=True),
        x.logaddexp(other=y, safe_inf=True),
    ]
    for result in safe:
        assert result.tolist() == [-INF, 0]
        (gradient,) = torch.autograd.grad(result.sum(), row, retain_graph=True)
        assert gradient.tolist() == [[0, 0], [1, 0]]
    as_before = [torch.logsumexp(row, 1), row.logsumexp((1,)), torch.logaddexp(x, y), x.logaddexp(other=y)]
    as_before += [torch.logsumexp(row, 1, safe_inf=False), x.logaddexp(y, safe_inf=False)]
    for result in as_before:
        (gradient,) = torch.autograd.grad(result.sum(), row, retain_graph=True)
        assert gradient[0].isnan().all()
    assert row.logsumexp(1, keepdim=True, safe_inf=True).shape == row.logsumexp(1, True).shape == (2, 1)
    for safe_inf in (False, True):
        out = torch.empty(2, dtype=row.dtype)
        assert torch.logsumexp(row.detach(), 1, out=out, safe_inf=safe_inf) is out and out.tolist() == [-INF, 0]
        assert torch.logaddexp(y.detach(), x.detach(), out=out, safe_inf=safe_inf) is out and out.tolist() == [-INF, 0]
        assert torch.logsumexp(row, 1, out=None, safe_inf=safe_inf).tolist() == [-INF, 0]


def test_torch_accepts_safe_inf() -> None:
    check_patched()


def test_reloading_changes_nothing() -> None:
    for _ in range(3):
        importlib.reload(module)
        check_patched()
    for owner in torch, torch.Tensor:
        for operation in owner.logsumexp, owner.logaddexp:
            assert not hasattr(operation.__wrapped__, "__wrapped__"), "one wrapper over another"
