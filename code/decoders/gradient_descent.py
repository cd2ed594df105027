"""Gradient descent on the energy of a relaxed tagging (Tu and Gimpel 2019, eq. 1; Belanger and McCallum 2016).

Each position has k free logits y_i, and q_i = softmax(y_i). With momentum mu and step size eta,

    v <- mu v - eta dE/dy,    y <- y + v,    dE/dy_i = q_i * (q_i . h_i - h_i)

where h is the field (relaxation.py). Every sentence is a problem of its own, with its own step size and number of
iterations: the velocity starts at 0, and no mean over the batch scales the step. (The paper's code descends on the mean
of 10 sentences: its step sizes are 10 times ours.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chain import LinearChain
from corpus import Batch
from decoders import Decoding, refuse_impossible
from decoders.relaxation import Relaxation, finite
from tagger import Tagger

START = 0.1  # random logits are uniform between -START and START


@dataclass(frozen=True)
class Settings:
    """How to descend.

    Attributes:
        iterations: gradient steps.
        step: eta, for the energy of one sentence in nats.
        momentum: mu.
        starts: the best of so many descents is returned.
        seed: of the random starts.
    """

    iterations: int = 50
    step: float = 1.0
    momentum: float = 0.9
    starts: int = 1
    seed: int = 0


DEFAULT = Settings()


class Iterate(NamedTuple):
    """Where the descent is: relaxed and energy of it [B], discrete tags [B, n] and energy of these [B].

    Energies are those of the finite chain.
    """

    relaxed: Float[Tensor, "B n k"]
    relaxed_energy: Float[Tensor, "B"]
    tags: Int[Tensor, "B n"]
    energy: Float[Tensor, "B"]


class Choice(NamedTuple):
    """The best of a grid, for each sentence: tags [B, n], the step and iterations that led to them [B], worth [B]."""

    tags: Int[Tensor, "B n"]
    step: Float[Tensor, "B"]
    iterations: Float[Tensor, "B"]
    worth: Float[Tensor, "B"]


Row = TypeVar("Row", Iterate, Choice)


@dataclass(frozen=True)
class Descent:
    """What was met on the way; energies are those of the finite chain.

    Attributes:
        tags: [B, n] the discrete tagging of lowest energy among all iterates, the start included.
        energy: [B] its energy.
        last: the last iterate of each sentence.
        relaxed_energies: [N + 1, B] of each iterate, that of the last one repeated.
        energies: [N + 1, B] of its discrete tagging.
    """

    tags: Int[Tensor, "B n"]
    energy: Float[Tensor, "B"]
    last: Iterate
    relaxed_energies: Float[Tensor, "N B"]
    energies: Float[Tensor, "N B"]


@torch.no_grad()
def gradient_descent(
    tagger: Tagger,
    batch: Batch,
    chain: LinearChain | None = None,
    logits: Float[Tensor, "B n k"] | None = None,
    settings: Settings = DEFAULT,
) -> Decoding:
    """The discrete tagging of lowest energy that the descent meets, and the relaxed one in which it ends.

    Raises ImpossibleError where no tagging is possible. The relaxed energy counts FORBIDDEN for -inf.

    Args:
        logits: where to start (a warm start); further starts are random.
    """
    chain = tagger(batch) if chain is None else chain
    B, n, k = chain.given_emit.shape
    best: Descent | None = None
    for number in range(settings.starts):
        start = logits
        if logits is None or number:
            start = random_logits(n, k, settings.seed + 1_000_003 * number).to(chain.given_emit).expand(B, n, k)
        found = descend(chain, start, settings.iterations, settings.step, settings.momentum)
        best = found if best is None else better(found, best)
    decoding = Decoding(best.tags, chain, best.last.relaxed)
    refuse_impossible(chain, decoding.energy == torch.inf)
    return decoding


def random_logits(n: int, k: int, seed: int) -> Float[Tensor, "n k"]:
    """A random start, the same for each sentence, alone or in a batch: no row depends on how many there are."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.rand(k, generator=generator, dtype=torch.float64) for _ in range(n)]
    return (torch.stack(rows) * 2 - 1) * START


@torch.no_grad()
def descend(
    chain: LinearChain,
    logits: Float[Tensor, "B n k"],
    iterations: int | Int[Tensor, "B"],
    step: float | Float[Tensor, "B"],
    momentum: float = 0.9,
) -> Descent:
    """One descent from the given logits.

    Args:
        iterations, step: of all sentences, or of each.
    """
    counts = torch.as_tensor(iterations, device=chain.lengths.device).expand(len(chain.lengths))
    return follow(iterates(finite(chain), logits, step, momentum), counts)


def follow(descent: Iterator[Iterate], counts: Int[Tensor, "B"]) -> Descent:
    """What is met on the way down, each sentence going so many steps."""
    last = best = next(descent)
    curves = [(last.relaxed_energy, last.energy)]
    for number in range(1, int(counts.max()) + 1):
        last = where(number <= counts, next(descent), last)
        best = where(last.energy < best.energy, last, best)
        curves.append((last.relaxed_energy, last.energy))
    relaxed_energies, energies = (torch.stack(curve) for curve in zip(*curves))
    return Descent(best.tags, best.energy, last, relaxed_energies, energies)


def iterates(
    chain: LinearChain, logits: Float[Tensor, "B n k"], step: float | Float[Tensor, "B"], momentum: float
) -> Iterator[Iterate]:
    """The start, and then what each step leads to, without end. `chain` is a finite one."""
    relaxation = Relaxation(chain)
    step = torch.as_tensor(step, dtype=logits.dtype, device=logits.device).reshape(-1, 1, 1)
    velocity = torch.zeros_like(logits)
    while True:
        q = relaxation.softmax(logits)
        field = relaxation.field(q)
        tags = logits.max(dim=2).indices.masked_fill(~chain.mask, -1)
        yield Iterate(q, relaxation.energy(q, field), tags, -chain.score(tags))
        slope = q * ((q * field).sum(dim=2, keepdim=True) - field)
        velocity = momentum * velocity - step * slope
        logits = logits + velocity


def where(which: Bool[Tensor, "B"], here: Row, elsewhere: Row) -> Row:
    """Sentence by sentence the one or the other."""
    pairs = zip(here, elsewhere)
    return type(here)(*(torch.where(which.reshape(-1, *[1] * (x.dim() - 1)), x, y) for x, y in pairs))


def better(one: Descent, other: Descent) -> Descent:
    """For each sentence the descent that met the better tagging; the other one where they are equal."""
    which = one.energy < other.energy
    return Descent(
        torch.where(which[:, None], one.tags, other.tags),
        torch.minimum(one.energy, other.energy),
        where(which, one.last, other.last),
        torch.where(which, one.relaxed_energies, other.relaxed_energies),
        torch.where(which, one.energies, other.energies),
    )


@torch.no_grad()
def oracle(
    chain: LinearChain,
    logits: Float[Tensor, "B n k"],
    steps: Sequence[float],
    counts: Sequence[int],
    worth: Callable[[Int[Tensor, "B n"]], Float[Tensor, "B"]],
    momentum: float = 0.9,
) -> Choice:
    """Step size and number of iterations chosen for each sentence with the answer in view (section 5.2 of the paper).

    For analysis only: the most that tuning could gain. The tagging after N iterations is that of the Nth iterate. Ties
    go to the step that is named first, then to the fewest iterations.

    Args:
        worth: what to maximize, of a tagging of the batch: tokens that are right, F1, minus the energy.
    """
    potentials = finite(chain)
    best: Choice | None = None
    for step in steps:
        for number, now in zip(range(max(counts) + 1), iterates(potentials, logits, step, momentum)):
            if number in counts:
                value = worth(now.tags).to(logits.dtype)
                chosen = Choice(now.tags, torch.full_like(value, step), torch.full_like(value, number), value)
                best = chosen if best is None else where(value > best.worth, chosen, best)
    return best
