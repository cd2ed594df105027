"""chain.LinearChain against enumeration of all taggings, for both engines: the plain and, if there, the fast one.

Batches are random: mixed lengths, structural zeros (-inf), and padding that holds nan and inf, which must never matter.
Tests of the four functions that students write carry the mark of their task.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import chain as chain_module
import enumeration as brute
from chain import LinearChain, backward, counts_by_backprop, forward, viterbi

INF = math.inf
TINY, HUGE = 1e-9, 1e4
REFUSED = ["argmax", "marginals", "pair_marginals", "transition_counts", "entropy"]


# ---------------------------------------------------------------------------------------------------------- batches


@dataclass(frozen=True)
class Potentials:
    """What a LinearChain is made of."""

    start: Tensor
    emit: Tensor
    trans: Tensor
    stop: Tensor
    lengths: Tensor

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.start, self.emit, self.trans, self.stop

    @property
    def shared(self) -> bool:
        return self.trans.dim() == 2

    def chain(self) -> LinearChain:
        return LinearChain(*self.parts, self.lengths)

    def sentences(self) -> list[brute.Sentence]:
        return brute.sentences(*(part.detach().numpy() for part in self.parts), self.lengths.numpy())

    def with_grad(self) -> Potentials:
        fresh = (part.detach().clone(memory_format=torch.contiguous_format) for part in self.parts)
        return Potentials(*(part.requires_grad_() for part in fresh), self.lengths)

    def to(self, dtype: torch.dtype) -> Potentials:
        return Potentials(*(part.to(dtype) for part in self.parts), self.lengths)

    def select(self, rows: Sequence[int], n: int | None = None) -> Potentials:
        """Some of the sentences, in this order, cut to n columns."""
        trans = self.trans if self.shared else self.trans[rows, : None if n is None else n - 1]
        return Potentials(self.start[rows], self.emit[rows, :n], trans, self.stop[rows], self.lengths[rows])


Fill = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(scale: float) -> Fill:
    return lambda rng, shape: rng.normal(0, scale, shape)


def extremes(*levels: float) -> Fill:
    """Every potential is one of a few values: the hardest case for arithmetic that underflows."""
    return lambda rng, shape: rng.choice(levels, shape)


def rubbish(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.choice([math.nan, INF, -INF, 1e30, 0.0], shape)


def make(
    rng: np.random.Generator,
    k: int,
    lengths: Sequence[int],
    shared: bool,
    fill: Fill = normal(1.0),
    forbid: float = 0.0,
    possible: bool = True,
    extra: int = 0,
    padding: Fill = rubbish,
) -> Potentials:
    """A random batch in float64.

    Args:
        fill: draws the potentials; `padding` draws what stands beyond the ends.
        forbid: the probability that a potential is -inf.
        possible: leave at least one tagging of each sentence possible.
        extra: columns beyond the longest sentence.
    """
    B, n = len(lengths), max(lengths) + extra
    shapes = [(B, k), (B, n, k), (k, k) if shared else (B, n - 1, k, k), (B, k)]
    parts = [np.where(rng.random(shape) < forbid, -INF, fill(rng, shape)) for shape in shapes]
    start, emit, trans, stop = parts
    kept = rng.integers(k, size=(B, n))  # a tagging whose potentials are made finite again
    for b, length in enumerate(lengths if possible else []):
        cells = [(start, (b, kept[b, 0])), (stop, (b, kept[b, length - 1]))]
        cells += [(emit, (b, i, kept[b, i])) for i in range(length)]
        for i in range(length - 1):
            cells.append((trans, (kept[b, i], kept[b, i + 1]) if shared else (b, i, kept[b, i], kept[b, i + 1])))
        for part, cell in cells:
            if part[cell] == -INF:
                part[cell] = fill(rng, (1,))[0]
    for b, length in enumerate(lengths):
        emit[b, length:] = padding(rng, emit[b, length:].shape)
        if not shared:
            trans[b, length - 1 :] = padding(rng, trans[b, length - 1 :].shape)
    return Potentials(*(torch.tensor(part, dtype=torch.float64) for part in parts), torch.tensor(lengths))


@st.composite
def batches(draw: st.DrawFn, shared: bool, possible: bool = True) -> Potentials:
    k = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    scale = draw(st.sampled_from([0.1, 1.0, 5.0, 50.0]))
    forbid = draw(st.sampled_from([0.0, 0.2, 0.4]))
    extra = draw(st.integers(0, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return make(rng, k, lengths, shared, normal(scale), forbid, possible, extra)


def random_tags(rng: np.random.Generator, batch: Potentials, hidden: float = 0.0) -> Tensor:
    """A tagging of each sentence, -1 in the padding and, with probability `hidden`, inside."""
    B, n, k = batch.emit.shape
    tags = torch.from_numpy(rng.integers(k, size=(B, n)))
    tags[torch.from_numpy(rng.random((B, n)) < hidden)] = -1
    tags[torch.arange(n) >= batch.lengths[:, None]] = -1
    return tags


def close(actual: Tensor, expected: object, tolerance: float = TINY) -> None:
    """Equal to `tolerance`, relative above 1 and absolute below; infinities equal, nan never."""
    np.testing.assert_allclose(actual.detach().numpy(), np.asarray(expected), rtol=tolerance, atol=tolerance)


def padded(batch: Potentials, per_sentence: Callable[[brute.Sentence], np.ndarray], columns: int) -> np.ndarray:
    """[B, columns, ...]: a per-position quantity of each sentence, with zeros after it."""
    rows = [per_sentence(sentence) for sentence in batch.sentences()]
    result = np.zeros((len(rows), columns, *rows[0].shape[1:]))
    for row, out in zip(rows, result):
        out[: len(row)] = row
    return result


def marginals_of(batch: Potentials) -> np.ndarray:
    return padded(batch, brute.marginals, batch.emit.shape[1])


def pairs_of(batch: Potentials) -> np.ndarray:
    return padded(batch, brute.pair_marginals, batch.emit.shape[1] - 1)


def log_partitions_of(batch: Potentials) -> list[float]:
    return [brute.log_partition(sentence) for sentence in batch.sentences()]


# ------------------------------------------------------------------------------------------------------ parameters


@pytest.fixture(autouse=True, params=["plain"] + ["fast"] * (chain_module.chain_fast is not None))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with each engine that there is."""
    if request.param == "plain":
        monkeypatch.setattr(chain_module, "chain_fast", None)
    return request.param


either_trans = pytest.mark.parametrize("shared", [True, False], ids=["shared", "by position"])


def examples(number: int) -> Callable[[Callable], Callable]:
    """The same examples every time. A fixture (the engine) may stay as it is from one example to the next."""
    allowed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=number, deadline=None, derandomize=True, suppress_health_check=allowed)


# -------------------------------------------------------------------------------------- quantities by enumeration


@either_trans
@examples(30)
@given(data=st.data())
def test_log_partition(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared, possible=False))
    close(batch.chain().log_partition, log_partitions_of(batch))
    with torch.no_grad():
        close(batch.chain().log_partition, log_partitions_of(batch))
    close(batch.with_grad().chain().log_partition, log_partitions_of(batch))


@either_trans
@examples(30)
@given(data=st.data())
def test_marginals_and_counts(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    columns = batch.emit.shape[1]
    for chain in (batch.chain(), batch.with_grad().chain()):
        close(chain.marginals, marginals_of(batch))
        assert chain.pair_marginals.shape[1] == columns - 1
        close(chain.pair_marginals, pairs_of(batch))
        close(chain.transition_counts, pairs_of(batch).sum(axis=(0, 1)))


@either_trans
@examples(30)
@given(data=st.data())
def test_argmax(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    check_best(batch, batch.chain().argmax)


@pytest.mark.task_viterbi
@either_trans
@examples(30)
@given(data=st.data())
def test_viterbi(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    check_best(batch, viterbi(batch.chain()))


def check_best(batch: Potentials, tags: Tensor, tolerance: float = TINY) -> None:
    assert tags.dtype == torch.long and tags.shape == batch.emit.shape[:2]
    for row, sentence in zip(tags.tolist(), batch.sentences()):
        n = len(sentence.emit)
        assert tuple(row[:n]) in brute.argmax(sentence, tolerance)
        assert set(row[n:]) <= {-1}


@either_trans
@examples(20)
@given(data=st.data())
def test_entropy(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    close(batch.chain().entropy, [brute.entropy(sentence) for sentence in batch.sentences()])


@pytest.mark.task_forward
@either_trans
@examples(30)
@given(data=st.data())
def test_forward(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared, possible=False))
    log_alpha = forward(batch.chain())
    assert log_alpha.shape == batch.emit.shape
    for row, sentence in zip(log_alpha, batch.sentences()):
        close(row[: len(sentence.emit)], brute.prefix_log_sums(sentence))


@pytest.mark.task_backward
@either_trans
@examples(30)
@given(data=st.data())
def test_backward(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared, possible=False))
    log_beta = backward(batch.chain())
    assert log_beta.shape == batch.emit.shape
    for row, sentence in zip(log_beta, batch.sentences()):
        close(row[: len(sentence.emit)], brute.suffix_log_sums(sentence))


@pytest.mark.task_counts_by_backprop
@either_trans
@examples(20)
@given(data=st.data())
def test_counts_by_backprop(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    counts, tag_marginals = counts_by_backprop(batch.chain())
    close(counts, pairs_of(batch).sum(axis=(0, 1)))
    close(tag_marginals, marginals_of(batch))


@pytest.mark.task_counts_by_backprop
@either_trans
def test_counts_by_backprop_without_grad(shared: bool) -> None:
    """Evaluation runs under no_grad and still wants counts; and the caller's own gradients stay untouched."""
    batch = make(np.random.default_rng(1), 3, [3, 1, 4], shared).with_grad()
    chain = batch.chain()
    with torch.no_grad():
        counts, tag_marginals = counts_by_backprop(chain)
    assert not counts.requires_grad and not tag_marginals.requires_grad
    close(counts, pairs_of(batch).sum(axis=(0, 1)))
    close(tag_marginals, marginals_of(batch))
    counts_by_backprop(chain)
    assert all(part.grad is None for part in batch.parts)
    chain.log_partition.sum().backward()
    assert batch.emit.grad is not None
    close(batch.emit.grad, marginals_of(batch))


def test_everything_under_no_grad() -> None:
    batch = make(np.random.default_rng(2), 3, [4, 2], shared=False, forbid=0.2)
    tags = random_tags(np.random.default_rng(3), batch)
    with torch.no_grad():
        chain = batch.with_grad().chain()
        close(chain.marginals, marginals_of(batch))
        close(chain.transition_counts, pairs_of(batch).sum(axis=(0, 1)))
        close(chain.entropy, [brute.entropy(sentence) for sentence in batch.sentences()])
        close(chain.log_prob(tags), batch.chain().log_prob(tags))
        check_best(batch, chain.argmax)


# ------------------------------------------------------------------------------------------------- scores of tags


@either_trans
@examples(20)
@given(data=st.data())
def test_score_and_log_prob(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    tags = random_tags(np.random.default_rng(data.draw(st.integers(0, 99))), batch)
    expected = [brute.score(s, row[: len(s.emit)]) for s, row in zip(batch.sentences(), tags.numpy())]
    close(batch.chain().score(tags), expected)
    close(batch.chain().log_prob(tags), np.subtract(expected, log_partitions_of(batch)))
    close(batch.chain().score(tags, partial=True), expected)


@either_trans
@examples(30)
@given(data=st.data())
def test_partial_score(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    hidden = data.draw(st.sampled_from([0.3, 0.7, 1.0]))
    tags = random_tags(np.random.default_rng(data.draw(st.integers(0, 99))), batch, hidden)
    rows = zip(batch.sentences(), tags.numpy())
    expected = [brute.partial_score(sentence, row[: len(sentence.emit)]) for sentence, row in rows]
    close(batch.chain().score(tags, partial=True), expected)
    log_z = log_partitions_of(batch)
    close(batch.chain().log_prob(tags, partial=True), np.subtract(expected, log_z))
    close(batch.chain().score(torch.full_like(tags, -1), partial=True), log_z)


def test_unobserved_tag_is_refused_unless_partial() -> None:
    batch = make(np.random.default_rng(4), 3, [3, 4], shared=True)
    tags = random_tags(np.random.default_rng(5), batch)
    tags[1, 2] = -1
    for method in (batch.chain().score, batch.chain().log_prob):
        with pytest.raises(ValueError, match=r"\b1\b"):
            method(tags)


@either_trans
def test_gradient_of_score_counts_the_tags(shared: bool) -> None:
    batch = make(np.random.default_rng(6), 3, [4, 1, 3], shared).with_grad()
    tags = random_tags(np.random.default_rng(7), batch)
    (batch.chain().score(tags) * torch.tensor([2.0, -1.0, 0.5])).sum().backward()
    expected = [np.zeros(part.shape) for part in batch.parts]
    for b, (length, weight) in enumerate(zip([4, 1, 3], [2.0, -1.0, 0.5])):
        row = tags[b].tolist()
        expected[0][b, row[0]] += weight
        expected[3][b, row[length - 1]] += weight
        for i in range(length):
            expected[1][b, i, row[i]] += weight
            if i:
                expected[2][(row[i - 1], row[i]) if shared else (b, i - 1, row[i - 1], row[i])] += weight
    for part, gradient in zip(batch.parts, expected):
        close(part.grad, gradient)


@either_trans
@pytest.mark.parametrize("forbid", [0.0, 0.25])
def test_gradient_of_partial_score(shared: bool, forbid: float) -> None:
    """The training loss of a partly tagged sentence; perturbing -inf leaves -inf, so its numerical derivative is 0."""
    batch = make(np.random.default_rng(8), 3, [4, 1, 3], shared, forbid=forbid, padding=normal(1.0)).with_grad()
    tags = torch.tensor([[-1, -1, -1, -1], [-1, -1, -1, -1], [-1, -1, -1, -1]])
    for b in range(3):  # observe what the best tagging has at one position, so that some tagging agrees
        tags[b, b] = batch.chain().argmax[b, b]
    assert tags[0, 0] >= 0 and tags[1, 1] == -1 and tags[2, 2] >= 0
    assert torch.autograd.gradcheck(lambda *parts: LinearChain(*parts, batch.lengths).score(tags, True), batch.parts)


@either_trans
def test_contradicted_observation_has_no_gradient(shared: bool) -> None:
    """Observed tags of which no tagging has finite score: -inf, and 0 rather than nan for the parameters."""
    batch = make(np.random.default_rng(9), 2, [3, 3], shared).with_grad()
    with torch.no_grad():
        batch.emit[0, 1, 0] = -INF
    score = batch.chain().score(torch.tensor([[-1, 0, -1], [-1, 0, -1]]), partial=True)
    assert score[0] == -INF and score[1].isfinite()
    score.sum().backward()
    for part in batch.parts:
        assert part.grad is not None and part.grad.isfinite().all()
    assert batch.emit.grad is not None and (batch.emit.grad[0] == 0).all() and (batch.emit.grad[1] > 0).any()


# ------------------------------------------------------------------------------------------------------- gradients


@either_trans
@pytest.mark.parametrize("lengths", [[4, 2, 3], [1], [1, 1], [2, 1, 5, 5]], ids=str)
@pytest.mark.parametrize("forbid", [0.0, 0.25])
def test_gradcheck(shared: bool, lengths: list[int], forbid: float) -> None:
    rng = np.random.default_rng(10)
    batch = make(rng, 3, lengths, shared, normal(2.0), forbid, padding=normal(1.0)).with_grad()
    assert torch.autograd.gradcheck(lambda *parts: LinearChain(*parts, batch.lengths).log_partition, batch.parts)


@either_trans
@examples(30)
@given(data=st.data())
def test_gradient_is_the_expected_counts(shared: bool, data: st.DataObject) -> None:
    """Of sum_b weight[b] log Z[b], whatever the weights; exactly 0 in the padding, and never nan."""
    batch = data.draw(batches(shared)).with_grad()
    weight = np.random.default_rng(data.draw(st.integers(0, 99))).choice([-2.0, -0.3, 0.0, 1.0, 5.0], len(batch.start))
    (batch.chain().log_partition * torch.from_numpy(weight)).sum().backward()
    p, pairs = marginals_of(batch), pairs_of(batch)
    close(batch.start.grad, weight[:, None] * p[:, 0])
    close(batch.stop.grad, weight[:, None] * p[np.arange(len(p)), batch.lengths.numpy() - 1])
    close(batch.emit.grad, weight[:, None, None] * p)
    pairs = weight[:, None, None, None] * pairs
    if batch.emit.shape[1] > 1 or batch.trans.grad is not None:
        close(batch.trans.grad, pairs.sum(axis=(0, 1)) if shared else pairs)
    beyond = torch.arange(p.shape[1]) >= batch.lengths[:, None]
    assert (batch.emit.grad[beyond] == 0).all()
    assert shared or p.shape[1] == 1 or (batch.trans.grad[beyond[:, 1:]] == 0).all()


@pytest.mark.parametrize("wanted", range(4), ids=["start", "emit", "trans", "stop"])
@either_trans
def test_gradient_of_one_input_alone(shared: bool, wanted: int) -> None:
    batch = make(np.random.default_rng(11), 3, [3, 5], shared)
    everything = batch.with_grad()
    everything.chain().log_partition.sum().backward()
    alone = list(batch.parts)
    alone[wanted] = alone[wanted].clone().requires_grad_()
    LinearChain(*alone, batch.lengths).log_partition.sum().backward()
    close(alone[wanted].grad, everything.parts[wanted].grad)


@either_trans
def test_gradient_flows_through_views_and_expansions(shared: bool) -> None:
    """A model gives one start row for the whole batch and strided potentials; the gradient sums over both uses."""
    batch = make(np.random.default_rng(12), 3, [3, 2], shared, padding=normal(1.0))
    row = batch.start[0].clone().requires_grad_()
    emit = batch.emit.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    strided = replace(batch, start=row.expand(2, 3), emit=emit, stop=row.expand(2, 3))
    strided.chain().log_partition.sum().backward()
    p = marginals_of(strided)
    close(row.grad, p[:, 0].sum(axis=0) + p[0, 2] + p[1, 1])
    close(emit.grad, p)


@either_trans
def test_negative_log_likelihood_trains(shared: bool) -> None:
    """The gradient of -log_prob: expected minus observed counts."""
    batch = make(np.random.default_rng(13), 3, [4, 2], shared).with_grad()
    tags = random_tags(np.random.default_rng(14), batch)
    (-batch.chain().log_prob(tags)).sum().backward()
    observed = torch.nn.functional.one_hot(tags.clamp(min=0), 3) * (tags >= 0)[:, :, None]
    close(batch.emit.grad, marginals_of(batch) - observed.numpy())


# ------------------------------------------------------------------------------------------- impossible sentences


def impossible_batch(shared: bool) -> Potentials:
    """Seven sentences of which number 5 has no possible tagging, though no row of potentials is all -inf."""
    batch = make(np.random.default_rng(15), 2, [3, 2, 3, 1, 2, 3, 3], shared, padding=rubbish)
    batch.emit[5] = torch.tensor([[0.0, -INF], [-INF, 0.0], [-INF, 0.0]])
    if shared:
        batch.trans[0, 1] = -INF
    else:
        batch.trans[5, 0, 0, 1] = -INF
    return batch


@either_trans
def test_impossible_sentence(shared: bool) -> None:
    batch = impossible_batch(shared).with_grad()
    log_z = batch.chain().log_partition
    assert log_z[5] == -INF
    close(log_z, log_partitions_of(batch))
    log_z.sum().backward()
    rest = [0, 1, 2, 3, 4, 6]
    for name in ("start", "emit", "stop") if shared else ("start", "emit", "trans", "stop"):
        gradient = getattr(batch, name).grad
        assert (gradient[5] == 0).all(), name
        assert gradient.isfinite().all(), name
    others = batch.select(rest)
    assert batch.emit.grad is not None and batch.trans.grad is not None
    close(batch.emit.grad[rest], marginals_of(others))
    pairs = pairs_of(others)
    close(batch.trans.grad if shared else batch.trans.grad[rest], pairs.sum(axis=(0, 1)) if shared else pairs)


@either_trans
@pytest.mark.parametrize("name", REFUSED)
def test_impossible_sentence_is_named(shared: bool, name: str) -> None:
    with pytest.raises(ValueError, match=r"\b5\b"):
        getattr(impossible_batch(shared).chain(), name)


@either_trans
def test_impossible_sentence_is_named_by_methods(shared: bool) -> None:
    for call in (lambda chain: chain.kbest(2), lambda chain: chain.sample(2)):
        with pytest.raises(ValueError, match=r"\b5\b"):
            call(impossible_batch(shared).chain())


@pytest.mark.parametrize("where", ["start", "emit", "trans", "stop"])
def test_row_of_minus_infinity(where: str) -> None:
    batch = make(np.random.default_rng(16), 3, [2, 3], shared=False).with_grad()
    with torch.no_grad():
        getattr(batch, where)[1] = -INF
    log_z = batch.chain().log_partition
    assert log_z[0].isfinite() and log_z[1] == -INF
    log_z.sum().backward()
    for part in batch.parts:
        assert part.grad is not None and part.grad.isfinite().all() and (part.grad[1] == 0).all()


# --------------------------------------------------------------------------------------------- k-best and samples


@either_trans
@examples(25)
@given(data=st.data())
def test_kbest(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    K = data.draw(st.sampled_from([1, 2, 3, 5, 20, 100]))
    check_kbest(batch, K)


def check_kbest(batch: Potentials, K: int) -> None:
    best = batch.chain().kbest(K)
    assert best.tags.dtype == torch.long and best.tags.shape == (len(batch.start), K, batch.emit.shape[1])
    assert best.scores.shape == (len(batch.start), K)
    for tags, scores, sentence in zip(best.tags.tolist(), best.scores, batch.sentences()):
        expected = brute.kbest(sentence, K)
        n, found = len(sentence.emit), len(expected)
        close(scores, [score for score, _ in expected] + [-INF] * (K - found))
        assert (scores[1:] <= scores[:-1]).all(), "best first"
        assert len({tuple(row) for row in tags[:found]}) == found, "a tagging is listed twice"
        assert all(set(row[n:]) <= {-1} for row in tags) and all(set(row) == {-1} for row in tags[found:])
        close(scores[:found], [brute.score(sentence, row[:n]) for row in tags[:found]])


@either_trans
def test_best_of_the_k_best_is_the_argmax(shared: bool) -> None:
    batch = make(np.random.default_rng(17), 4, [5, 3, 4], shared)
    assert torch.equal(batch.chain().kbest(3).tags[:, 0], batch.chain().argmax)


@either_trans
@examples(20)
@given(data=st.data())
def test_ties(shared: bool, data: st.DataObject) -> None:
    """Small integers, so that many taggings have exactly the highest score: any of them will do."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    batch = make(rng, 3, [4, 1, 3], shared, extremes(0.0, 1.0), forbid=0.2)
    check_best(batch, batch.chain().argmax, tolerance=0.0)
    check_kbest(batch, 7)


@pytest.mark.task_viterbi
def test_viterbi_ties() -> None:
    batch = make(np.random.default_rng(18), 3, [4, 1, 3], True, extremes(0.0))
    check_best(batch, viterbi(batch.chain()), tolerance=0.0)


SAMPLES = 20_000


@either_trans
@pytest.mark.parametrize("forbid", [0.0, 0.3])
def test_samples_have_the_right_frequencies(shared: bool, forbid: float) -> None:
    batch = make(np.random.default_rng(19), 3, [3, 1, 4, 3], shared, forbid=forbid)
    drawn = batch.chain().sample(SAMPLES, torch.Generator().manual_seed(20))
    assert drawn.dtype == torch.long and drawn.shape == (4, SAMPLES, 4)
    for tags, sentence in zip(drawn.numpy(), batch.sentences()):
        n = len(sentence.emit)
        assert (tags[:, n:] == -1).all()
        seen = Counter(map(tuple, tags[:, :n].tolist()))
        p = brute.probabilities(sentence)
        counts = np.array([seen[tuple(row)] for row in brute.taggings(sentence).tolist()])
        assert counts.sum() == SAMPLES
        assert (counts[p == 0] == 0).all(), "an impossible tagging was drawn"
        common = p * SAMPLES >= 5
        observed = np.append(counts[common], counts[~common].sum())
        expected = np.append(p[common], p[~common].sum()) * SAMPLES
        statistic = ((observed - expected) ** 2 / np.maximum(expected, 1.0)).sum()
        freedom = len(observed) - 1
        assert statistic <= freedom + 6 * math.sqrt(2 * freedom) + 1  # beyond one in a million


def test_samples_are_independent() -> None:
    """Of each other, and between sentences that are alike."""
    one = make(np.random.default_rng(21), 2, [3], shared=True)
    drawn = one.select([0, 0]).chain().sample(SAMPLES, torch.Generator().manual_seed(22))
    (sentence,) = one.sentences()
    same = float((brute.probabilities(sentence) ** 2).sum())
    margin = 5 * math.sqrt(same * (1 - same) / SAMPLES)
    for x, y in [(drawn[0], drawn[1]), (drawn[0, :-1], drawn[0, 1:])]:
        assert abs((x == y).all(dim=1).double().mean().item() - same) < margin


def test_samples_follow_the_generator() -> None:
    chain = make(np.random.default_rng(23), 3, [4, 2], shared=False).chain()

    def draw(seed: int) -> Tensor:
        return chain.sample(50, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    torch.manual_seed(3)
    first = chain.sample(50)
    assert not torch.equal(first, chain.sample(50))
    torch.manual_seed(3)
    assert torch.equal(first, chain.sample(50))


# ---------------------------------------------------------------------------------------------------------- energy


@either_trans
@examples(25)
@given(data=st.data())
def test_energy(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    q = rng.dirichlet(np.ones(batch.emit.shape[2]), size=batch.emit.shape[:2])
    if data.draw(st.booleans()):  # zeros in q meet forbidden cells
        q = np.where(rng.random(q.shape) < 0.5, 0.0, q)
    expected = [brute.energy(s, row[: len(s.emit)]) for s, row in zip(batch.sentences(), q)]
    close(batch.chain().energy(torch.from_numpy(q)), expected)


@either_trans
@examples(20)
@given(data=st.data())
def test_energy_of_a_tagging_is_minus_its_score(shared: bool, data: st.DataObject) -> None:
    batch = data.draw(batches(shared))
    tags = random_tags(np.random.default_rng(data.draw(st.integers(0, 99))), batch)
    q = torch.nn.functional.one_hot(tags.clamp(min=0), batch.emit.shape[2]).to(batch.emit.dtype)
    close(batch.chain().energy(q), -batch.chain().score(tags).numpy())
    best = batch.chain().argmax
    q = torch.nn.functional.one_hot(best.clamp(min=0), batch.emit.shape[2]).to(batch.emit.dtype)
    close(batch.chain().energy(q), -batch.chain().score(best).numpy())


@either_trans
def test_gradient_of_energy(shared: bool) -> None:
    batch = make(np.random.default_rng(24), 3, [4, 1, 3], shared)
    q = torch.from_numpy(np.random.default_rng(25).dirichlet(np.ones(3), size=(3, 4))).requires_grad_()
    assert torch.autograd.gradcheck(batch.chain().energy, (q,))
    (gradient,) = torch.autograd.grad(batch.chain().energy(q).sum(), q)
    assert (gradient[torch.arange(4) >= batch.lengths[:, None]] == 0).all()


@either_trans
def test_gradient_of_energy_beside_forbidden_cells(shared: bool) -> None:
    """Gradient descent on q starts from possible taggings of chains that hold -inf: no nan may come back."""
    batch = make(np.random.default_rng(26), 3, [4, 1, 3], shared, forbid=0.3)
    q = torch.nn.functional.one_hot(batch.chain().argmax.clamp(min=0), 3).double().requires_grad_()
    energy = batch.chain().energy(q)
    assert energy.isfinite().all()
    (gradient,) = torch.autograd.grad(energy.sum(), q)
    assert not gradient.isnan().any()
    chosen = torch.arange(3) == batch.chain().argmax[:, :, None]
    assert gradient[chosen].isfinite().all()


# -------------------------------------------------------------------------------------------------- hard numerics


@either_trans
@examples(25)
@given(data=st.data())
def test_potentials_far_apart(shared: bool, data: st.DataObject) -> None:
    """Differences of 1e4 nats: exp of them is 0 in every floating-point format."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    levels = data.draw(st.sampled_from([(0.0, -HUGE), (0.0, HUGE), (-HUGE, 0.0, 1.0, HUGE)]))
    batch = make(rng, 3, [4, 1, 2], shared, extremes(*levels)).with_grad()
    check_all(batch, TINY)
    check_finite(batch.to(torch.float32))


@either_trans
@pytest.mark.parametrize("reach", [20.0, 150.0, 290.0, 299.0, 301.0, 350.0, 390.0, 700.0, 800.0])
@pytest.mark.parametrize("seed", range(3))
def test_range_of_float64(shared: bool, reach: float, seed: int) -> None:
    """Around 600 nats an exponential underflows and a path that will win is lost on the way."""
    rng = np.random.default_rng(seed)
    check_all(make(rng, 3, [5, 2, 4], shared, extremes(0.0, -reach)).with_grad(), TINY)
    check_all(make(rng, 2, [5, 1], shared, extremes(0.0, -reach, -reach / 2)).with_grad(), TINY)


@either_trans
@pytest.mark.parametrize("reach", [5.0, 18.0, 35.0, 37.0, 39.0, 41.0, 48.0, 55.0, 70.0, 100.0, 200.0])
@pytest.mark.parametrize("seed", range(3))
def test_range_of_float32(shared: bool, reach: float, seed: int) -> None:
    """The same around 80 nats in float32. Enumeration, in float64, gets the very same numbers."""
    rng = np.random.default_rng(seed)
    for batch in (
        make(rng, 3, [5, 2, 4], shared, extremes(0.0, -reach)),
        make(rng, 4, [5, 5], shared, lambda r, shape: r.uniform(-reach, 0, shape)),
    ):
        check_all(batch.to(torch.float32).with_grad(), 1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@either_trans
def test_best_path_begins_unlikely(shared: bool, dtype: torch.dtype) -> None:
    """Tag 0 is e**-138 (1e-60) as likely as tag 1 at first, but tag 1 leads nowhere worth going."""
    start = torch.tensor([[-138.0, 0.0]], dtype=dtype)
    trans = torch.tensor([[0.0, -400.0], [-400.0, -400.0]], dtype=dtype)
    emit = torch.zeros(1, 4, 2, dtype=dtype)
    trans = trans if shared else trans.expand(1, 3, 2, 2)
    batch = Potentials(start, emit, trans, torch.zeros_like(start), torch.tensor([4]))
    check_all(batch.with_grad(), 1e-5)
    assert batch.chain().argmax.tolist() == [[0, 0, 0, 0]]
    assert batch.chain().log_partition.item() == pytest.approx(-138)


@either_trans
@pytest.mark.parametrize("reach", [38.0, 70.0, 150.0])
def test_unlikely_at_both_ends(shared: bool, reach: float) -> None:
    """The two ends favour different tags: every path pays e**-reach, and their sum must not be lost as 0/0."""
    start = torch.tensor([[0.0, -reach]])
    stop = torch.tensor([[-reach, 0.0]])
    stay = torch.tensor([[0.0, -reach], [-reach, 0.0]])
    for n in (1, 2, 5, 20):
        trans = stay if shared else stay.expand(1, n - 1, 2, 2)
        batch = Potentials(start, torch.zeros(1, n, 2), trans, stop, torch.tensor([n])).with_grad()
        if n <= 5:
            check_all(batch, 1e-4)
        check_finite(batch)


@either_trans
@pytest.mark.parametrize("dtype, scale", [(torch.float32, 1.0), (torch.float64, 7.7)])
def test_three_factors_of_one_word(shared: bool, dtype: torch.dtype, scale: float) -> None:
    """Each factor fits the format, but start * emit of the first tag underflows, and with stop it is a winner."""
    start, emit, stop = scale * torch.tensor([[-75, 0, -75], [-38, -38, 0], [0, -75, -75]], dtype=dtype)[:, None]
    trans = torch.zeros(3, 3, dtype=dtype) if shared else torch.zeros(1, 0, 3, 3, dtype=dtype)
    batch = Potentials(start, emit[:, None], trans, stop, torch.tensor([1]))
    check_all(batch.with_grad(), 1e-5)


def check_all(batch: Potentials, tolerance: float) -> None:
    """The main quantities, and the gradient of log Z, against enumeration. `batch` requires gradients."""
    chain = batch.chain()
    close(chain.log_partition, log_partitions_of(batch), tolerance)
    p, pairs = marginals_of(batch), pairs_of(batch)
    close(chain.marginals, p, tolerance)
    close(chain.pair_marginals, pairs, tolerance)
    close(chain.transition_counts, pairs.sum(axis=(0, 1)), tolerance)
    close(chain.entropy, [brute.entropy(sentence) for sentence in batch.sentences()], tolerance)
    check_best(batch, chain.argmax, tolerance * max(1.0, np.abs(log_partitions_of(batch)).max()))
    gradients = torch.autograd.grad(chain.log_partition.sum(), batch.parts, allow_unused=True)
    last = p[np.arange(len(p)), batch.lengths.numpy() - 1]
    for gradient, expected in zip(gradients, [p[:, 0], p, pairs.sum(axis=(0, 1)) if batch.shared else pairs, last]):
        if gradient is None:
            assert batch.emit.shape[1] == 1, "only transitions of one-word sentences may go unused"
        else:
            close(gradient, expected, tolerance)


def check_finite(batch: Potentials) -> None:
    """Where nothing is forbidden nothing may become nan or inf, and probabilities must add up."""
    batch = batch.with_grad()
    chain = batch.chain()
    assert chain.log_partition.isfinite().all() and chain.entropy.isfinite().all()
    inside = torch.arange(batch.emit.shape[1]) < batch.lengths[:, None]
    close(chain.marginals.sum(dim=2), inside.float(), 1e-2)
    close(chain.transition_counts.sum(), (batch.lengths - 1).sum(), 1e-2)
    chain.log_partition.sum().backward()
    assert batch.start.grad is not None and batch.emit.grad is not None and batch.stop.grad is not None
    close(batch.emit.grad, chain.marginals, 1e-2)
    assert batch.start.grad.isfinite().all() and batch.stop.grad.isfinite().all()
    assert batch.trans.grad is None or batch.trans.grad.isfinite().all()


@either_trans
@pytest.mark.parametrize("k, lengths", [(1, [1]), (1, [1, 4, 2]), (3, [1]), (3, [1, 1]), (4, [2])])
def test_smallest_chains(shared: bool, k: int, lengths: list[int]) -> None:
    batch = make(np.random.default_rng(27), k, lengths, shared)
    check_all(batch.with_grad(), TINY)
    check_kbest(batch, 3)
    assert batch.chain().sample(2, torch.Generator().manual_seed(1)).shape == (len(lengths), 2, max(lengths))


def reference(batch: Potentials) -> tuple[list[float], np.ndarray]:
    """log Z and marginals of chains too large to enumerate: forward-backward, rescaled at each step."""
    log_z, p = [], np.zeros(batch.emit.shape)
    for b, (start, emit, trans, stop) in enumerate(batch.sentences()):
        n = len(emit)
        E, A = np.exp(emit), (np.exp(trans) if not batch.shared else [np.exp(trans[0])] * (n - 1))
        alpha, beta, total = [np.exp(start) * E[0]], [np.exp(stop)], 0.0
        for i in range(1, n):
            total += math.log(alpha[-1].sum())
            alpha.append((alpha[-1] / alpha[-1].sum()) @ A[i - 1] * E[i])
            onward = A[n - i - 1] @ (E[n - i] * beta[-1])
            beta.append(onward / onward.sum())
        log_z.append(total + math.log(alpha[-1] @ np.exp(stop)))
        together = np.array(alpha) * np.array(beta[::-1])
        p[b, :n] = together / together.sum(axis=1, keepdims=True)
    return log_z, p


@either_trans
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, TINY), (torch.float32, 5e-3)])
def test_long_sentence(shared: bool, dtype: torch.dtype, tolerance: float) -> None:
    """1,000 words. In float32 a log alpha near 1,500 is rounded to 1e-4 at every step, so marginals are less exact."""
    batch = make(np.random.default_rng(28), 3, [1000, 700], shared).to(dtype)
    log_z, p = reference(batch)
    chain = batch.chain()
    close(chain.log_partition, log_z, tolerance)
    close(chain.marginals, p, tolerance)
    close(chain.transition_counts.sum(), 999 + 699, tolerance)
    tags = chain.argmax
    assert (chain.score(tags) <= chain.log_partition).all()
    for drawn in chain.sample(20, torch.Generator().manual_seed(1)).unbind(1):
        assert (chain.score(tags) >= chain.score(drawn)).all()
    check_finite(batch)


@either_trans
def test_many_tags(shared: bool) -> None:
    k = 2000
    batch = make(np.random.default_rng(29), k, [3, 2], shared)
    log_z, p = reference(batch)
    chain = batch.chain()
    close(chain.log_partition, log_z)
    close(chain.marginals, p)
    close(chain.transition_counts.sum(), 3)
    tags = chain.argmax
    assert (tags[1, 2] == -1) and (chain.log_prob(tags) > chain.log_prob(torch.zeros_like(tags))).all()


def test_pair_marginals_too_large() -> None:
    k, n = 2000, 70
    flat = torch.zeros(1, k)
    chain = LinearChain(flat, torch.zeros(1, n, k), torch.zeros(k, k), flat, torch.tensor([n]))
    with pytest.raises(ValueError, match="transition_counts"):
        chain.pair_marginals


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@either_trans
def test_results_keep_the_dtype(shared: bool, dtype: torch.dtype) -> None:
    batch = make(np.random.default_rng(30), 3, [3, 2], shared).to(dtype)
    chain, tags = batch.chain(), random_tags(np.random.default_rng(31), batch)
    results = [chain.log_partition, chain.marginals, chain.pair_marginals, chain.transition_counts, chain.entropy]
    results += [chain.score(tags), chain.kbest(2).scores, chain.energy(torch.full_like(batch.emit, 1 / 3))]
    assert {result.dtype for result in results} == {dtype}


# ---------------------------------------------------------------------- padding, batch and order never matter


def results(batch: Potentials, tags: Tensor) -> dict[str, Tensor]:
    """What a chain says of each sentence, and the gradients."""
    free = batch.with_grad()
    chain = free.chain()
    chain.log_partition.sum().backward()
    q = torch.full_like(free.emit, 0.5).detach()
    names = ("log_partition", "marginals", "pair_marginals", "argmax", "entropy")
    found = {name: getattr(chain, name) for name in names}
    found |= {"score": chain.score(tags), "kbest": chain.kbest(3).scores, "energy": chain.energy(q)}
    found["partial"] = chain.score(tags.masked_fill(torch.arange(tags.shape[1]) % 2 == 0, -1), partial=True)
    found |= {"start.grad": free.start.grad, "emit.grad": free.emit.grad, "stop.grad": free.stop.grad}
    return {name: value.detach() for name, value in found.items() if value is not None}


@either_trans
@pytest.mark.parametrize("scale, forbid", [(1.0, 0.0), (1.0, 0.2), (300.0, 0.0)])
def test_sentence_alone_is_as_in_a_batch(shared: bool, scale: float, forbid: float) -> None:
    rng = np.random.default_rng(32)
    batch = make(rng, 3, [5, 1, 3, 2, 4], shared, normal(scale), forbid, extra=1)
    tags = random_tags(rng, batch)
    together = results(batch, tags)
    for b, n in enumerate(batch.lengths.tolist()):
        alone = results(batch.select([b], n), tags[[b], :n])
        for name, value in alone.items():
            row = together[name][b]
            row = row[: value.shape[1]] if value.dim() > 1 and name not in ("kbest", "start.grad", "stop.grad") else row
            if name == "argmax":
                assert row.tolist() == value[0].tolist()
            else:
                close(row, value[0])


@either_trans
def test_order_in_the_batch(shared: bool) -> None:
    rng = np.random.default_rng(33)
    batch = make(rng, 3, [5, 1, 3, 2, 4], shared, forbid=0.1)
    tags, order = random_tags(rng, batch), [3, 0, 4, 2, 1]
    straight, mixed = results(batch, tags), results(batch.select(order), tags[order])
    for name, value in straight.items():
        close(mixed[name], value[order])


@either_trans
def test_one_wild_sentence_leaves_the_others_alone(shared: bool) -> None:
    """A sentence whose potentials differ by 1e4 may change how the batch is computed, not what comes out."""
    rng = np.random.default_rng(34)
    batch = make(rng, 3, [4, 3, 4], shared)
    tags = random_tags(rng, batch)
    wild = replace(batch, emit=batch.emit.clone())
    wild.emit[1] *= HUGE
    for name, value in results(batch, tags).items():
        for b in (0, 2):
            close(results(wild, tags)[name][b], value[b])


@either_trans
def test_padding_never_matters(shared: bool) -> None:
    """Not in values, not in gradients, whatever stands there; nor do the tags and the relaxed tags in the padding."""
    rng = np.random.default_rng(35)
    batch = make(rng, 3, [5, 1, 3], shared, padding=extremes(0.0), extra=1)
    tags = random_tags(rng, batch)
    expected = results(batch, tags)
    beyond = torch.arange(6) >= batch.lengths[:, None]
    for value in (math.nan, INF, -INF, 1e30, -1e30, 3.0):
        emit = batch.emit.masked_fill(beyond[:, :, None], value)
        trans = batch.trans if shared else batch.trans.masked_fill(beyond[:, 1:, None, None], value)
        filled = replace(batch, emit=emit, trans=trans)
        for name, result in results(filled, tags).items():
            np.testing.assert_array_equal(result.numpy(), expected[name].numpy(), err_msg=f"{name}, padding {value}")
        counts, tag_marginals = counts_by_backprop(filled.chain())
        close(counts, pairs_of(batch).sum(axis=(0, 1)))
        close(tag_marginals, marginals_of(batch))
        q = torch.full_like(emit, 1 / 3)
        close(filled.chain().energy(q.masked_fill(beyond[:, :, None], 7.0)), batch.chain().energy(q))


@either_trans
def test_inputs_are_not_changed(shared: bool) -> None:
    rng = np.random.default_rng(36)
    batch = make(rng, 3, [4, 2], shared, forbid=0.2)
    tags = random_tags(rng, batch)
    before = [part.clone() for part in (*batch.parts, batch.lengths, tags)]
    chain = batch.chain()
    for name in ("log_partition", "marginals", "pair_marginals", "transition_counts", "argmax", "entropy"):
        getattr(chain, name)
    chain.kbest(3), chain.sample(3), chain.score(tags), chain.score(tags, partial=True)
    chain.energy(torch.full_like(batch.emit, 1 / 3))
    for algorithm in (forward, backward, viterbi, counts_by_backprop):
        algorithm(chain)
    for part, old in zip((*batch.parts, batch.lengths, tags), before):
        np.testing.assert_array_equal(part.numpy(), old.numpy())


@either_trans
def test_answers_do_not_depend_on_what_was_asked_before(shared: bool) -> None:
    """Quantities are computed once and kept: what one leaves behind must not change another."""
    batch = make(np.random.default_rng(37), 3, [4, 1, 3], shared, forbid=0.1).with_grad()
    names = ["log_partition", "marginals", "pair_marginals", "transition_counts", "argmax", "entropy"]
    for first in range(len(names)):
        chain = batch.chain()
        found = {name: getattr(chain, name) for name in names[first:] + names[:first]}
        close(found["log_partition"], log_partitions_of(batch))
        close(found["marginals"], marginals_of(batch))
        close(found["pair_marginals"], pairs_of(batch))
        close(found["transition_counts"], pairs_of(batch).sum(axis=(0, 1)))
        close(torch.autograd.grad(found["log_partition"].sum(), batch.emit)[0], marginals_of(batch))
