"""Unit tests of the graded functions, the trusted side: random small cases and their right answers.

The submission's side gets the inputs and returns plain numbers; what is right stays here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from grader.cases import Case, Draw, padded
from grader.enumerate import Tables, log_sum
from grader.errors import GraderFault
from grader.expected_models import (
    add_gradient,
    context,
    crf_gradient,
    emission_potentials,
    emission_weights,
    hmm_e_step,
    hmm_m_step,
    transition_potentials,
)

# Sums in log space


def logsumexp_safe(draw: Draw) -> Case:
    """Values, and gradients that are 0, not nan, where all arguments are -inf."""
    x = draw.normal(size=(4, 5)) * 3
    x[1] = -np.inf
    x[2, :3] = -np.inf
    x[3] += 5000.0
    weights = draw.uniform(0.5, 2.0, size=4)
    value = log_sum(x, axis=1)
    with np.errstate(invalid="ignore"):
        gradient = np.nan_to_num(np.exp(x - value[:, None]), nan=0.0) * weights[:, None]
    return Case(dict(x=x, dim=1, weights=weights), dict(value=value, gradient=gradient))


def logaddexp_safe(draw: Draw) -> Case:
    x, y = draw.normal(size=(2, 6)) * 3
    x[0] = y[0] = x[1] = y[2] = -np.inf
    weights = draw.uniform(0.5, 2.0, size=6)
    value = log_sum(np.stack([x, y]), axis=0)
    with np.errstate(invalid="ignore"):
        by_x, by_y = (np.nan_to_num(np.exp(each - value), nan=0.0) * weights for each in (x, y))
    return Case(dict(x=x, y=y, weights=weights), dict(value=value, by_x=by_x, by_y=by_y))


# Chains


def chain(draw: Draw, shared: bool, forbidden: bool = True) -> tuple[dict[str, Any], list[Tables]]:
    """A batch of three sentences, its padding full of junk, and the tables of each."""
    B, n, k = 3, 4, 3
    lengths = [4, 1, 3]
    start, stop, emit = draw.normal(size=(B, k)), draw.normal(size=(B, k)), draw.normal(size=(B, n, k))
    trans = draw.normal(size=(k, k) if shared else (B, n - 1, k, k))
    if forbidden:
        start[0, 0] = emit[2, 1, 2] = trans[..., 1, 0] = -np.inf
    for b, length in enumerate(lengths):
        emit[b, length:] = 100.0
        if not shared:
            trans[b, max(length - 1, 0) :] = 50.0
    inputs = dict(start=start, emit=emit, trans=trans, stop=stop, lengths=lengths)
    tables = []
    for b, length in enumerate(lengths):
        steps = np.broadcast_to(trans, (n - 1, k, k)) if shared else trans[b]
        tables.append(Tables(start[b], emit[b, :length], steps[: length - 1], stop[b]))
    return inputs, tables


def of_chain(answer: Callable[[dict[str, Any], list[Tables]], dict[str, Any]]) -> Callable[[Draw], list[Case]]:
    """Cases with one matrix of transitions for all positions, and with one for each."""

    def build(draw: Draw) -> list[Case]:
        made = (chain(draw, shared) for shared in (True, False))
        return [Case(inputs, answer(inputs, tables)) for inputs, tables in made]

    return build


@of_chain
def forward(inputs, tables) -> dict[str, Any]:
    return dict(log_alpha=padded([table.alpha() for table in tables], 4))


@of_chain
def backward(inputs, tables) -> dict[str, Any]:
    return dict(log_beta=padded([table.beta() for table in tables], 4))


@of_chain
def counts_by_backprop(inputs, tables) -> dict[str, Any]:
    counts = [table.counts([-1] * table.n) for table in tables]
    return dict(trans=sum(each.trans for each in counts), tags=padded([each.tags for each in counts], 4, value=0.0))


def viterbi(draw: Draw) -> list[Case]:
    cases = []
    for shared in (True, False):
        while True:
            inputs, tables = chain(draw, shared)
            best = []
            for table in tables:
                tags, scores = table.scores()
                first, second = np.sort(scores)[::-1][:2]
                best.append(tags[int(np.argmax(scores))].astype(np.float64))
                if first - second < 0.01 or not best[-1].any():
                    break  # a tie, nearly, or a tagging that is all zeros: other numbers
            else:
                cases.append(Case(inputs, dict(tags=padded(best, 4, value=-1.0))))
                break
    return cases


# Word features


def problex(draw: Draw) -> list[Case]:
    counts = draw.integers(0, 4, size=(6, 3)).astype(np.float64)
    counts[0], counts[1], counts[2] = [1, 0, 0], [0, 0, 1], [2, 1, 0]
    every = np.vstack([counts, np.zeros(3)])
    of_word = every.sum(axis=1)
    singletons = counts[counts.sum(axis=1) == 1].sum(axis=0) + 1
    q = singletons / singletons.sum()
    of_tags = np.log((every + q) / (of_word[:, None] + 1))
    of_words = np.log((of_word + 0.5) / (counts.sum() + (len(counts) + 1) / 2))
    rows = np.vstack([np.column_stack([of_tags, of_words]), np.zeros(4)])
    return [Case(dict(counts=counts), dict(rows=rows))]


LETTERS = "abcdefghiklmnopqrstuvwxyz"


def affixes(draw: Draw) -> list[Case]:
    def some(letters: str, least: int, most: int) -> str:
        return "".join(draw.choice(list(letters), size=int(draw.integers(least, most))))

    words = [some(LETTERS, 5, 9), some(LETTERS.upper(), 1, 2) + some(LETTERS, 1, 3), some("0123456789", 2, 5)]
    words += [some(LETTERS.upper(), 2, 4) + "-" + some("0123456789", 1, 3) + some(LETTERS, 1, 4), some(LETTERS, 1, 2)]
    right = []
    for word in words:
        lower = word.lower()
        shape = "".join("X" if c.isupper() else "x" if c.isalpha() else "9" if c.isdigit() else c for c in word)
        short = "".join(c for i, c in enumerate(shape) if i == 0 or shape[i - 1] != c)
        ends = [f"suffix{n}={lower[-n:]}" for n in (1, 2, 3, 4)] + [f"prefix{n}={lower[:n]}" for n in (1, 2, 3)]
        right.append([*ends, f"shape={shape}", f"short={short}"])
    return [Case(dict(words=words), dict(affixes=right))]


BUILDERS: dict[str, Callable[[Draw], Case | list[Case]]] = {
    function.__name__: function
    for function in (
        logsumexp_safe, logaddexp_safe, viterbi, hmm_e_step, hmm_m_step, crf_gradient, emission_weights, add_gradient,
        context, transition_potentials, emission_potentials, problex, affixes,
    )
}  # fmt: skip
BUILDERS.update(forward=forward, backward=backward, counts_by_backprop=counts_by_backprop)


def cases(test: str, seed: int) -> list[Case]:
    """The cases of a test: two draws of each kind. Raises GraderFault if there is no such test."""
    if test not in BUILDERS:
        raise GraderFault("grader_error", f"there is no test {test!r}; there are {', '.join(sorted(BUILDERS))}")
    draw = np.random.default_rng([seed, *test.encode()])
    made: list[Case] = []
    for _ in range(2):
        built = BUILDERS[test](draw)
        made += [built] if isinstance(built, Case) else built
    return made
