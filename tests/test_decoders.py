"""The decoders that need no training against enumeration and Viterbi, on random chains in float64.

Batches are test_chain's: mixed lengths, structural zeros (-inf), and padding that holds nan and inf.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import enumeration as brute
from chain import ImpossibleError, LinearChain
from corpus import IntegerizedCorpus, parse_corpus
from crf_backprop import ConditionalRandomFieldBackprop
from decoders import DECODERS, Decoding, decoder, refuse_impossible, select, tag_corpus
from decoders import gradient_descent as descents
from decoders import mean_field as fields
from decoders import restricted as restrictions
from decoders.relaxation import FORBIDDEN, Relaxation, finite
from hmm import HiddenMarkovModel
from integerize import Integerizer
from lexicon import Lexicon
from test_chain import TINY, Potentials, close, extremes, make, normal, random_tags

LENGTHS = [5, 1, 3, 2, 4]
either_trans = pytest.mark.parametrize("shared", [True, False], ids=["shared", "by position"])
each_decoder = pytest.mark.parametrize("name", DECODERS)
RELAXED = ("gradient_descent", "mean_field")


def decode(name: str, batch: Potentials, **settings: object) -> Decoding:
    return decoder(name)(None, None, batch.chain(), **settings)


def random_batch(seed: int, k: int, lengths: list[int] = LENGTHS, shared: bool = True, **options) -> Potentials:
    return make(np.random.default_rng(seed), k, lengths, shared, **options)


def wide(seed: int, k: int, scale: float = 3.0, B: int = 4, n: int = 6) -> Potentials:
    """Many labels and strong emissions, as the restricted search wants them."""
    batch = random_batch(seed, k, [n, *[n - 1] * (B - 2), 1])
    return replace(batch, emit=batch.emit * scale)


def start_of(batch: Potentials) -> Tensor:
    B, n, k = batch.emit.shape
    return descents.random_logits(n, k, 0).expand(B, n, k)


def lowest(batch: Potentials) -> list[float]:
    return [-brute.scores(sentence).max() for sentence in batch.sentences()]


# ------------------------------------------------------------------------------------------------- every decoder


@each_decoder
@either_trans
@pytest.mark.parametrize("forbid", [0.0, 0.25])
def test_energy_is_that_of_the_tags_and_never_below_the_best(name: str, shared: bool, forbid: float) -> None:
    for seed in range(6):
        batch = random_batch(seed, 1 + seed % 4, shared=shared, fill=normal(3.0), forbid=forbid, extra=1)
        found = decode(name, batch)
        for sentence, tags, energy, best in zip(batch.sentences(), found.tags, found.energy, lowest(batch)):
            n = len(sentence.emit)
            assert (tags[n:] == -1).all() and (tags[:n] >= 0).all()
            close(energy, -brute.score(sentence, tags[:n]))
            assert energy >= best - 1e-6
        assert (found.relaxed_energy is None) == (found.relaxed is None) == (name not in RELAXED)
        if found.relaxed is not None:
            assert (found.relaxed_energy >= torch.tensor(lowest(batch)) - 1e-6).all()
            close(found.relaxed.sum(dim=2), batch.chain().mask)
            close(found.relaxed_energy, finite(batch.chain()).energy(found.relaxed))


@pytest.mark.parametrize("name", ["viterbi", "restricted", "beam"])
@either_trans
@pytest.mark.parametrize("forbid", [0.0, 0.3])
def test_exact_where_nothing_is_left_out(name: str, shared: bool, forbid: float) -> None:
    for seed in range(6):
        k = 1 + seed % 4
        batch = random_batch(seed, k, shared=shared, forbid=forbid, extra=seed % 2)
        settings = dict(width=k) if name == "beam" else {}
        close(decode(name, batch, **settings).energy, lowest(batch))


@each_decoder
@either_trans
def test_sentence_alone_in_any_batch_and_any_order(name: str, shared: bool) -> None:
    batch = random_batch(3, 3, shared=shared, forbid=0.1, extra=1)
    together, order = decode(name, batch), [3, 0, 4, 2, 1]
    mixed = decode(name, batch.select(order))
    assert mixed.tags.tolist() == together.tags[order].tolist()
    close(mixed.energy, together.energy[order])
    if together.relaxed is not None:
        close(mixed.relaxed, together.relaxed[order])
        close(mixed.relaxed_energy, together.relaxed_energy[order])
    for b, n in enumerate(LENGTHS):
        alone = decode(name, batch.select([b], n))
        assert alone.tags[0].tolist() == together.tags[b, :n].tolist()
        close(alone.energy[0], together.energy[b])
        if together.relaxed is not None:
            close(alone.relaxed[0], together.relaxed[b, :n])
            close(alone.relaxed_energy[0], together.relaxed_energy[b])


@each_decoder
@either_trans
def test_padding_never_matters(name: str, shared: bool) -> None:
    batch = random_batch(4, 3, [4, 1, 3], shared, padding=extremes(0.0), extra=1)
    beyond = torch.arange(5) >= batch.lengths[:, None]
    expected = decode(name, batch)
    for value in (math.nan, math.inf, -math.inf, 1e30):
        emit = batch.emit.masked_fill(beyond[:, :, None], value)
        trans = batch.trans if shared else batch.trans.masked_fill(beyond[:, 1:, None, None], value)
        found = decode(name, replace(batch, emit=emit, trans=trans))
        assert found.tags.tolist() == expected.tags.tolist()
        assert found.energy.tolist() == expected.energy.tolist()
        if found.relaxed is not None:
            assert found.relaxed.tolist() == expected.relaxed.tolist()


@each_decoder
@either_trans
def test_impossible_sentence_is_refused_by_its_number(name: str, shared: bool) -> None:
    batch = random_batch(5, 3, [2, 3, 4, 1], shared)
    batch.emit[2, 1] = -math.inf
    with pytest.raises(ImpossibleError, match="sentence 2 "):
        decode(name, batch)
    rest = [0, 1, 3]
    decode(name, batch.select(rest))


@each_decoder
@either_trans
@pytest.mark.parametrize("k, lengths", [(1, [3, 1]), (3, [1, 1]), (1, [1])])
def test_one_tag_and_one_word(name: str, shared: bool, k: int, lengths: list[int]) -> None:
    batch = random_batch(6, k, lengths, shared)
    settings = dict(settings=descents.Settings(iterations=200)) if name == "gradient_descent" else {}
    found = decode(name, batch, **settings)
    if k == 1 or name != "posterior":
        close(found.energy, lowest(batch))
    if k == 1 and found.relaxed is not None:
        close(found.relaxed_energy, lowest(batch))


@each_decoder
def test_deterministic_and_leaves_its_input_alone(name: str) -> None:
    batch = random_batch(7, 3, forbid=0.2).with_grad()
    before = [part.detach().clone() for part in batch.parts]
    first, second = decode(name, batch), decode(name, batch)
    assert first.tags.tolist() == second.tags.tolist() and not first.energy.requires_grad
    for part, old in zip(batch.parts, before):
        np.testing.assert_array_equal(part.detach().numpy(), old.numpy())
        assert part.grad is None


# ------------------------------------------------------------------------------------------- the restricted search


def whatever_size(monkeypatch: pytest.MonkeyPatch, *kept: int) -> None:
    """Restrict the search however few labels there are, to so many."""
    monkeypatch.setattr(restrictions, "WORTHWHILE", 1)
    monkeypatch.setattr(restrictions, "KEPT", kept)


@pytest.mark.parametrize("forbid", [0.0, 0.3])
@pytest.mark.parametrize("scale", [0.5, 3.0, 100.0])
def test_restricted_is_exact_and_its_proofs_are_true(
    scale: float, forbid: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    whatever_size(monkeypatch, 1, 2)
    for seed in range(8):
        batch = random_batch(seed, 1 + seed % 6, [5, 1, 3, 4], fill=normal(scale), forbid=forbid, extra=1)
        best = np.array(lowest(batch))
        for kept in (1, 2, 5):
            tags, proved = restrictions.search(batch.chain(), kept)
            close(-batch.chain().score(tags)[proved], best[proved.numpy()])
        close(decode("restricted", batch).energy, best)


@pytest.mark.parametrize("forbid", [0.0, 0.3])
def test_the_rest_promises_what_each_tagging_scores(forbid: float) -> None:
    """By enumeration: with the tags that are left out called the rest, no possible tagging scores less than it did."""
    for seed in range(4):
        batch = random_batch(seed, 4, [4, 1, 3], fill=normal(2.0), forbid=forbid, extra=1)
        smaller, labels = restrictions.with_rest(batch.chain(), 2)
        for b, sentence in enumerate(batch.sentences()):
            taggings = torch.tensor(brute.taggings(sentence))
            n = taggings.shape[1]
            here = taggings[:, :, None] == labels[b, :n, 1:]
            place = torch.where(here.any(dim=2), here.int().argmax(dim=2) + 1, 0)
            of_rest = select(smaller, torch.full((len(place),), b)).score(place)
            scores = torch.tensor(brute.scores(sentence))
            possible = scores > -math.inf
            assert possible.any() and (of_rest >= scores - TINY)[possible].all()
            own = (place > 0).all(dim=1) & possible
            close(of_rest[own], scores[own])
            assert own.any() or forbid


def test_restricted_returns_the_tags_of_viterbi(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ones, whether proved at once, at the second search or searched whole; among equally good ones too."""
    ways = set()
    for seed, scale in itertools.product(range(4), (1.0, 3.0, 6.0)):
        whatever_size(monkeypatch, 4, 24)
        batch = wide(seed, 60, scale)
        ties = Potentials(*(part.round() for part in batch.parts), batch.lengths)
        for given in (batch, ties, batch.to(torch.float32), ties.to(torch.float32)):
            chain = given.chain()
            assert restrictions.argmax(chain).tolist() == chain.argmax.tolist()
            at_once, at_last = (restrictions.search(chain, kept)[1].tolist() for kept in (4, 24))
            ways |= set(zip(at_once, at_last))
    assert ways == {(True, True), (False, True), (False, False)}


def test_only_chains_with_many_labels_and_shared_transitions_are_restricted(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    search = restrictions.search
    monkeypatch.setattr(restrictions, "search", lambda *given: searched.append(given) or search(*given))
    few, many = random_batch(8, 3, [2]), random_batch(8, restrictions.WORTHWHILE, [3, 2])
    decode("restricted", few), decode("restricted", random_batch(8, 130, [2, 2], shared=False))
    assert not searched
    assert decode("restricted", many).tags.tolist() == many.chain().argmax.tolist()
    assert searched


def test_restricted_search_refuses_the_impossible_and_bears_any_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    whatever_size(monkeypatch, 2)
    batch = random_batch(9, 4, [2, 3, 4, 1], forbid=0.2, extra=1)
    tags = decode("restricted", batch).tags
    assert tags.tolist() == batch.chain().argmax.tolist()
    for b, n in enumerate(batch.lengths.tolist()):
        assert decode("restricted", batch.select([b], n)).tags[0].tolist() == tags[b, :n].tolist()
    batch.emit[2, 1] = -math.inf
    with pytest.raises(ImpossibleError, match="sentence 2 "):
        decode("restricted", batch)


# --------------------------------------------------------------------------------------------------------- the beam


def beam_by_hand(sentence: brute.Sentence, width: int) -> float:
    """The score of what a beam search finds, prefix by prefix."""
    beam = [(sentence.start[t] + sentence.emit[0, t], t) for t in range(len(sentence.stop))]
    for i in range(1, len(sentence.emit)):
        kept = sorted(beam, reverse=True)[:width]
        beam = [
            (max(score + sentence.trans[i - 1, s, t] for score, s in kept) + sentence.emit[i, t], t)
            for t in range(len(sentence.stop))
        ]
    return max(score + sentence.stop[t] for score, t in beam)


@either_trans
@pytest.mark.parametrize("width", [1, 2, 3])
def test_beam_by_its_definition(shared: bool, width: int) -> None:
    for seed in range(5):
        batch = random_batch(seed, 4, shared=shared, fill=normal(2.0), extra=1)
        expected = [-beam_by_hand(sentence, width) for sentence in batch.sentences()]
        close(decode("beam", batch, width=width).energy, expected)


@either_trans
def test_a_beam_that_dies_is_widened(shared: bool) -> None:
    """The tag of best prefix leads nowhere; a beam of 1 keeps nothing else."""
    batch = random_batch(11, 3, [3, 2], shared)
    batch.emit[0, 0] = torch.tensor([50.0, 0.0, 0.0])
    batch.trans[..., 0, :] = -math.inf
    found = decode("beam", batch, width=1)
    assert torch.isfinite(found.energy).all() and found.tags[0, 0] != 0


# --------------------------------------------------------------------------------------------------- the relaxation


@either_trans
def test_relaxed_and_discrete_energies_agree_on_one_hot_taggings(shared: bool) -> None:
    rng = np.random.default_rng(12)
    batch = make(rng, 3, LENGTHS, shared, extra=1)
    chain = finite(batch.chain())
    relaxation, tags = Relaxation(chain), random_tags(rng, batch)
    q = torch.nn.functional.one_hot(tags.clamp(min=0), 3).double() * chain.mask[:, :, None]
    close(relaxation.energy(q, relaxation.field(q)), -batch.chain().score(tags))


@either_trans
def test_field_is_minus_the_slope_of_the_energy(shared: bool) -> None:
    batch = random_batch(13, 3, shared=shared, forbid=0.2, extra=1)
    chain = finite(batch.chain())
    relaxation = Relaxation(chain)
    q = relaxation.softmax(start_of(batch) * 20).requires_grad_()
    energy = chain.energy(q)
    (slope,) = torch.autograd.grad(energy.sum(), q)
    q, energy = q.detach(), energy.detach()
    close(torch.where(chain.mask[:, :, None], -relaxation.field(q), 0.0), slope)
    close(relaxation.energy(q, relaxation.field(q)), energy)


def test_forbidden_cells_are_finite() -> None:
    batch = random_batch(14, 3, forbid=0.4)
    chain = finite(batch.chain())
    for part, given in zip((chain.start, chain.trans, chain.stop), (batch.start, batch.trans, batch.stop)):
        assert (part[given == -math.inf] == FORBIDDEN).all() and torch.isfinite(part).all()
    assert torch.isfinite(chain.emit).all()


# ------------------------------------------------------------------------------------------------- gradient descent


@either_trans
def test_descent_is_gradient_descent_with_momentum(shared: bool) -> None:
    """Against autograd through softmax and chain.energy, the velocity kept as the paper's optimizer keeps it."""
    batch = random_batch(15, 3, shared=shared, extra=1)
    found = descents.descend(batch.chain(), start_of(batch), 6, 0.3, 0.8)
    chain, logits = batch.chain(), start_of(batch).clone()
    optimizer = torch.optim.SGD([logits.requires_grad_()], lr=0.3, momentum=0.8)
    for energies in found.relaxed_energies:
        optimizer.zero_grad()
        energy = chain.energy(logits.softmax(dim=2))
        close(energies, energy.detach())
        energy.sum().backward()
        optimizer.step()


@either_trans
def test_more_iterations_are_never_worse(shared: bool) -> None:
    batch = random_batch(16, 4, shared=shared, fill=normal(3.0), forbid=0.1)
    energies = torch.stack(
        [descents.descend(batch.chain(), start_of(batch), number, 5.0).energy for number in (0, 1, 2, 5, 20, 40)]
    )
    assert (energies.diff(dim=0) <= 0).all()


def test_lowest_of_those_visited_and_the_curves() -> None:
    batch = random_batch(17, 4, fill=normal(3.0))
    found = descents.descend(batch.chain(), start_of(batch), 30, 3.0)
    assert found.energies.shape == found.relaxed_energies.shape == (31, 5)
    assert found.energy.tolist() == found.energies.min(dim=0).values.tolist()
    close(found.energy, -batch.chain().score(found.tags))
    close(found.last.relaxed_energy, found.relaxed_energies[-1])
    close(found.last.relaxed_energy, batch.chain().energy(found.last.relaxed))
    start = -batch.chain().score(start_of(batch).argmax(dim=2))
    close(found.energies[0], start)


def test_steps_and_iterations_of_each_sentence() -> None:
    batch = random_batch(18, 3, fill=normal(2.0))
    steps, counts = torch.tensor([0.1, 1.0, 3.0, 0.5, 2.0]), torch.tensor([0, 4, 2, 9, 5])
    together = descents.descend(batch.chain(), start_of(batch), counts, steps)
    for b, count in enumerate(counts.tolist()):
        alone = descents.descend(batch.chain(), start_of(batch), count, steps[b].item())
        assert together.tags[b].tolist() == alone.tags[b].tolist()
        close(together.energies[: count + 1, b], alone.energies[:, b])
        assert (together.relaxed_energies[count:, b] == together.relaxed_energies[count, b]).all()
        close(together.last.relaxed[b], alone.last.relaxed[b])


def test_warm_start_and_more_starts_are_never_worse() -> None:
    batch = random_batch(19, 4, fill=normal(2.0), forbid=0.1)
    best = torch.nn.functional.one_hot(batch.chain().argmax.clamp(min=0), 4).double() * 5
    none = descents.Settings(iterations=0)
    warm = decode("gradient_descent", batch, logits=best, settings=none)
    close(warm.energy, lowest(batch))
    energies = [
        decode("gradient_descent", batch, settings=descents.Settings(iterations=3, starts=starts)).energy
        for starts in (1, 2, 5)
    ]
    assert (torch.stack(energies).diff(dim=0) <= 0).all() and (energies[2] < energies[0]).any()


def test_random_starts() -> None:
    logits = descents.random_logits(40, 5, 0)
    assert logits[:7].equal(descents.random_logits(7, 5, 0))
    assert not logits.equal(descents.random_logits(40, 5, 1))
    assert logits.abs().max() <= descents.START and logits.min() < -0.05 and logits.max() > 0.05


def test_oracle_against_the_whole_grid() -> None:
    rng = np.random.default_rng(20)
    batch = make(rng, 3, LENGTHS, True, normal(2.0))
    gold, start = random_tags(rng, batch), start_of(batch)
    steps, counts = [0.1, 1.0, 10.0], [1, 3, 8]

    def right(tags: Tensor) -> Tensor:
        return ((tags == gold) & (gold >= 0)).sum(dim=1)

    chosen = descents.oracle(batch.chain(), start, steps, counts, right)
    grid = {}
    for step, count in itertools.product(steps, counts):
        q = descents.descend(batch.chain(), start, count, step).last.relaxed
        grid[step, count] = right(q.argmax(dim=2))
    for b in range(len(LENGTHS)):
        values = [value[b].item() for value in grid.values()]
        first = list(grid)[values.index(max(values))]
        assert chosen.worth[b] == max(values) == right(chosen.tags)[b]
        assert (chosen.step[b].item(), chosen.iterations[b].item()) == first
    by_energy = descents.oracle(batch.chain(), start, steps, counts, batch.chain().score)
    assert (by_energy.worth >= batch.chain().score(chosen.tags) - 1e-9).all()


# ------------------------------------------------------------------------------------------------------- mean field


def free_energy(sentence: brute.Sentence, q: np.ndarray) -> float:
    return brute.energy(sentence, q) + float(np.sum(q * np.log(q)))


@either_trans
def test_free_energy_falls_to_where_no_single_position_can_lower_it(shared: bool) -> None:
    batch = random_batch(21, 3, shared=shared, extra=1)
    found = fields.fit(batch.chain(), fields.Settings(sweeps=500, tolerance=1e-12))
    assert (found.free_energies.diff(dim=0) <= 1e-9).all()
    assert (found.free_energies >= -torch.tensor([brute.log_partition(s) for s in batch.sentences()]) - 1e-9).all()
    rng = np.random.default_rng(22)
    for b, sentence in enumerate(batch.sentences()):
        q = found.q[b, : len(sentence.emit)].numpy()
        lowest_found = free_energy(sentence, q)
        close(found.free_energies[-1, b], lowest_found)
        for i in range(len(q)):
            for mass in rng.dirichlet(np.ones(3), size=5):
                moved = q.copy()
                moved[i] = 0.9 * q[i] + 0.1 * mass
                assert free_energy(sentence, moved) >= lowest_found - 1e-9


def test_mean_field_is_exact_without_transitions() -> None:
    batch = random_batch(23, 4)
    batch = replace(batch, trans=torch.zeros_like(batch.trans))
    found = decode("mean_field", batch)
    close(found.energy, lowest(batch))
    close(found.relaxed, batch.chain().marginals)


def test_a_sentence_stops_when_it_has_converged() -> None:
    batch = random_batch(24, 3)
    few, many = (fields.fit(batch.chain(), fields.Settings(sweeps)) for sweeps in (1, 1000))
    assert len(few.free_energies) == 2 and len(many.free_energies) < 200


# ------------------------------------------------------------------------------------------------- around decoders


@either_trans
def test_selected_sentences(shared: bool) -> None:
    batch = random_batch(25, 3, shared=shared, extra=1)
    part = select(batch.chain(), torch.tensor([3, 2]))
    assert part.lengths.tolist() == [2, 3] and part.emit.shape[1] == 3
    close(part.log_partition, batch.chain().log_partition[[3, 2]])


def test_only_suspects_are_refused() -> None:
    batch = random_batch(26, 3, [2, 2])
    batch.emit[1] = -math.inf
    refuse_impossible(batch.chain(), torch.tensor([True, False]))
    with pytest.raises(ImpossibleError, match="sentence 1 "):
        refuse_impossible(batch.chain(), torch.tensor([True, True]))


@pytest.fixture
def toy() -> tuple[Lexicon, Integerizer, IntegerizedCorpus]:
    sentences = parse_corpus(["a/A b/B a/A", "b/B", "a/A b/B b/C c/C a/A", "c/C a/A"], "toy")
    lexicon = Lexicon.from_corpus(sentences)
    tagset = Integerizer(["A", "B", "C"])
    return lexicon, tagset, IntegerizedCorpus(sentences, lexicon.vocab, tagset)


@each_decoder
def test_energies_of_a_corpus(name: str, toy: tuple[Lexicon, Integerizer, IntegerizedCorpus]) -> None:
    lexicon, tagset, corpus = toy
    tagger = ConditionalRandomFieldBackprop(tagset, lexicon)
    torch.manual_seed(0)
    for parameter in tagger.parameters():
        torch.nn.init.normal_(parameter)
    tagging = tag_corpus(tagger, corpus, decoder(name), size=2, energies=True)
    chain: LinearChain = tagger(corpus.batch(torch.arange(4)))
    tags = torch.full_like(chain.argmax, -1)
    for row, found in zip(tags, tagging.tags):
        row[: len(found)] = torch.tensor(found)
    close(tagging.energies.found, -chain.score(tags).detach(), 1e-5)
    close(tagging.energies.viterbi, -chain.score(chain.argmax).detach(), 1e-5)
    assert (tagging.energies.search_error >= -1e-5).all()
    assert (tagging.energies.relaxed is not None) == (name in RELAXED)
    assert tag_corpus(tagger, corpus, decoder(name)).energies is None


def test_energies_of_impossible_sentences_are_nan(toy: tuple[Lexicon, Integerizer, IntegerizedCorpus]) -> None:
    lexicon, tagset, corpus = toy
    tagger = HiddenMarkovModel(tagset, lexicon)
    never: Callable[..., LinearChain] = tagger.forward

    def forward(batch):
        chain = never(batch)
        emit = chain.given_emit.masked_fill((chain.lengths == 1)[:, None, None], -math.inf)
        return LinearChain(chain.start, emit, chain.trans, chain.stop, chain.lengths)

    tagger.forward = forward
    tagging = tag_corpus(tagger, corpus, decoder("gradient_descent"), energies=True)
    assert tagging.impossible == [1] and tagging.tags[1] == []
    for energies in (tagging.energies.found, tagging.energies.viterbi, tagging.energies.relaxed):
        assert energies.isnan().tolist() == [False, True, False, False]
