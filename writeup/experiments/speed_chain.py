"""The section of speed.py on dynamic programs: one batch, ours and in pytorch-crf."""

from __future__ import annotations

import common  # noqa: F401  before torch

# isort: split

import statistics
from pathlib import Path
from typing import Any

import torch
from speed_rows import COMPILED, OURS, PEER, PLAIN, Row, alternate, compile_kernels, compiled, plainly, row
from torch import Tensor
from tqdm import tqdm

import chain as chain_module
from chain import LinearChain

try:
    import torchcrf
except ImportError:
    torchcrf = None

NO_PEER = "pytorch-crf is not installed (pip install pytorch-crf==0.7.2, or the extra `reference`): no rows against it"

# (batch, length, tags) and how many times as fast as pytorch-crf log Z and Viterbi are to be
SHAPES = {(32, 25, 45): (8.0, 2.5), (32, 50, 45): (None, None), (8, 25, 400): (30.0, 4.0)}
QUICK_SHAPES = {(3, 5, 4): (None, None), (4, 3, 2): (None, None), (2, 4, 7): (None, None)}


class OurChain:
    """The potentials of a batch, as leaves of autograd, and what is measured on them."""

    def __init__(self, B: int, n: int, k: int, by_position: bool = False):
        generator = torch.Generator().manual_seed(k + n)

        def leaf(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).requires_grad_()

        self.lengths = torch.linspace((n + 1) // 2, n, B).round().long().flip(0)
        self.start, self.stop, self.emit = leaf(k), leaf(k), leaf(B, n, k)
        self.trans = leaf(B, n - 1, k, k) if by_position else leaf(k, k)
        inside = torch.arange(n) < self.lengths[:, None]
        self.tags = torch.where(inside, torch.randint(k, (B, n), generator=generator), -1)
        self.mask = inside

    def chain(self) -> LinearChain:
        B = len(self.lengths)
        return LinearChain(self.start.expand(B, -1), self.emit, self.trans, self.stop.expand(B, -1), self.lengths)

    def gradient(self, of: Tensor) -> tuple[float, Tensor]:
        """A value, and its gradient by the emissions (those by all the rest are computed too)."""
        return of.item(), torch.autograd.grad(of, (self.emit, self.start, self.trans, self.stop))[0]

    def log_z(self) -> tuple[float, Tensor]:
        return self.gradient(self.chain().log_partition.sum())

    def log_likelihood(self) -> tuple[float, Tensor]:
        return self.gradient(self.chain().log_prob(self.tags).sum())

    def viterbi(self) -> list[list[int]]:
        with torch.no_grad():
            rows = self.chain().argmax.tolist()
        return [row[:length] for row, length in zip(rows, self.lengths.tolist())]


class PeerChain:
    """The same batch in pytorch-crf, with the positions first, as it likes them best."""

    def __init__(self, ours: OurChain):
        self.crf = torchcrf.CRF(ours.emit.shape[2])
        values = {"start_transitions": ours.start, "end_transitions": ours.stop, "transitions": ours.trans}
        self.crf.load_state_dict({name: value.detach() for name, value in values.items()})
        self.emit = ours.emit.detach().transpose(0, 1).contiguous().requires_grad_()
        self.tags, self.mask = ours.tags.T.clamp(min=0).contiguous(), ours.mask.T.contiguous()

    def gradient(self, of: Tensor) -> tuple[float, Tensor]:
        crf = self.crf
        leaves = (self.emit, crf.start_transitions, crf.transitions, crf.end_transitions)
        by_emit = torch.autograd.grad(of, leaves, allow_unused=True)[0]
        return of.item(), by_emit.transpose(0, 1)

    def log_z(self) -> tuple[float, Tensor]:
        # it has no public name for log Z alone; `log_likelihood` is what its users call
        return self.gradient(self.crf._compute_normalizer(self.emit, self.mask).sum())

    def log_likelihood(self) -> tuple[float, Tensor]:
        return self.gradient(self.crf(self.emit, self.tags, mask=self.mask, reduction="sum"))

    def viterbi(self) -> list[list[int]]:
        with torch.no_grad():
            return self.crf.decode(self.emit, mask=self.mask)


MEASURES = {
    "log_z": "log Z, forward and backward",
    "log_likelihood": "log-likelihood, forward and backward",
    "viterbi": "Viterbi",
}


def chain_section(quick: bool, work: Path) -> tuple[list[Row], list[str]]:
    """The dynamic programs."""
    rows: list[Row] = []
    if chain_module.chain_fast is None:
        raise SystemExit("speed.py: code/chain_fast.py is absent, there is nothing to measure")
    problem = compile_kernels()
    shapes = QUICK_SHAPES if quick else SHAPES
    cases = [(by_position, shape) for by_position in (False, True) for shape in shapes]
    for by_position, shape in tqdm(cases, desc="chain", unit=" batches"):
        ours = OurChain(*shape, by_position)
        peer = PeerChain(ours) if torchcrf and not by_position else None
        for measure, name in MEASURES.items():
            what = f"{name}, {'position-dependent' if by_position else 'shared'} transitions, {shape}"
            works = {OURS: getattr(ours, measure), PLAIN: plainly(getattr(ours, measure))}
            if not problem:
                works[COMPILED] = compiled(getattr(ours, measure))
            if peer:
                works[PEER] = getattr(peer, measure)
            require_same({side: call() for side, call in works.items()}, what)
            if measure == "log_likelihood":  # of use only beside a peer whose users have no log Z
                del works[PLAIN]
            against = [side for side in (PEER, PLAIN) if side in works]
            if not against:
                continue
            median = {side: 1000 * statistics.median(times) for side, times in alternate(works, quick).items()}
            times_faster = dict(zip(("log_z", "viterbi"), shapes[shape])).get(measure)
            rows += [row(what, "ms", median[OURS], median[side], side) for side in against]
            for side in against:
                wanted = ("ratio", times_faster) if times_faster and side == PEER else None
                if problem:
                    rows.append(row(f"{what}, --compile", "ms", None, target=wanted, note=problem))
                else:
                    rows.append(row(f"{what}, --compile", "ms", median[COMPILED], median[side], side, wanted))
    notes = [
        "Shapes are (batch, length, tags); lengths go evenly from half of the longest to the longest; float32; the "
        "potentials are normal deviates. Log-likelihoods (relative difference below 1e-4), their gradients and the "
        "Viterbi taggings of all sides were found equal before they were timed.",
        "pytorch-crf cannot have transitions that depend on the position. Rows with --compile are of the loops that "
        "this option compiles; all sides of a measurement take turns in the same rounds.",
    ]
    return rows, notes if torchcrf else [*notes, NO_PEER + "."]


def require_same(results: dict[str, Any], what: str) -> None:
    """Stop the program unless all sides found the same."""
    for side, found in results.items():
        wanted = results[OURS]
        if isinstance(wanted, list):
            same = found == wanted
        else:
            same = abs(found[0] - wanted[0]) <= 1e-4 * abs(wanted[0]) and torch.allclose(found[1], wanted[1], atol=1e-4)
        if not same:
            raise SystemExit(f"speed.py: {what}: {side} and {OURS} differ: not timed")
