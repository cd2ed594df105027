"""A line of speed.md: how two sides are timed in turn, what is kept of it, and how it is shown."""

from __future__ import annotations

import common  # before torch

# isort: split

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

import chain as chain_module
import crf_neural

try:
    import chain_compiled
except ImportError:  # without the kernels there is nothing to compile
    chain_compiled = None

OURS, COMPILED, PEER, PLAIN = "ours", "ours, --compile", "pytorch-crf 0.7.2", "without kernels"
Row = dict[str, Any]
Target = tuple[str, float]  # "ratio" and at least, "least" and a rate, or "most" and a duration or a size


def alternate(
    works: Mapping[str, Callable[[], object]], quick: bool, seconds: float = 4.0, at_least: int = 5
) -> dict[str, list[float]]:
    """Seconds of each call: rounds of one call of each, after one that does not count, for about so long."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    began, rounds = time.perf_counter(), 0
    while rounds < (1 if quick else at_least) or (not quick and time.perf_counter() - began < seconds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
        rounds += 1
    return times


def row(
    what: str, unit: str, ours: float | None, peer: float | None = None, against: str = "",
    target: Target | None = None, note: str = "",
) -> Row:  # fmt: skip
    """One line of the table. The ratio says how many times as good ours is; `met` whether the target is reached."""
    ratio = met = None
    if ours and peer:
        ratio = ours / peer if unit == "tokens/s" else peer / ours
    if target:
        of, bound = target
        measured = ratio if of == "ratio" else ours
        met = None if measured is None else measured <= bound if of == "most" else measured >= bound
    return dict(
        what=what, unit=unit, target=list(target) if target else None, met=met, ours=ours, peer=peer, against=against,
        ratio=ratio, note=note,
    )  # fmt: skip


@contextmanager
def without_kernels() -> Iterator[None]:
    """The package as students have it: chain.py alone, and the sum of eqs. 47-48 as it stands."""
    kept = chain_module.chain_fast, crf_neural.sum_of_sigmoids
    chain_module.chain_fast = None
    crf_neural.sum_of_sigmoids = lambda x, y, theta: torch.sigmoid(x[:, None] + y) @ theta
    try:
        yield
    finally:
        chain_module.chain_fast, crf_neural.sum_of_sigmoids = kept


def plainly(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, without kernels."""

    def worked(*arguments: Any) -> Any:
        with without_kernels():
            return work(*arguments)

    return worked


@cache
def kernels() -> tuple[Any, str | None]:
    """What --compile loads, in use only inside `compiled`; and what is wrong if there is no such thing."""
    if chain_compiled is None:
        return None, "this package has no kernels"
    problem = chain_compiled.load()
    library, chain_compiled.library = chain_compiled.library, None
    return library, problem


def compile_kernels() -> str | None:
    """Make `compiled` possible; what is wrong if it is not."""
    return kernels()[1]


def compiled(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, with the kernels that --compile makes."""

    def worked(*arguments: Any) -> Any:
        chain_compiled.library = kernels()[0]
        try:
            return work(*arguments)
        finally:
            chain_compiled.library = None

    return worked


def section_table(rows: Sequence[Row]) -> str:
    header = ("what", "target", "ours", "peer", "ratio")
    return common.table(header, ([r["what"], target_cell(r), ours_cell(r), peer_cell(r), ratio_cell(r)] for r in rows))


def target_cell(r: Row) -> str:
    if not r["target"]:
        return ""
    of, bound = r["target"]
    wanted = f"{bound:g} times as fast" if of == "ratio" else amount(bound, r["unit"])
    verdict = {True: "met", False: "missed", None: "not measured"}[r["met"]]
    return f"{'at most' if of == 'most' else 'at least'} {wanted}: {verdict}"


def ours_cell(r: Row) -> str:
    return amount(r["ours"], r["unit"]) + (f" ({r['note']})" if r["note"] else "")


def peer_cell(r: Row) -> str:
    return "" if r["peer"] is None else f"{amount(r['peer'], r['unit'])} ({r['against']})"


def ratio_cell(r: Row) -> str:
    return "" if r["ratio"] is None else f"{r['ratio']:.1f}"


def amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f} {unit}" if unit == "tokens/s" or value >= 100 else f"{value:.3g} {unit}"
