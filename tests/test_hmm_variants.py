"""The HMM's variants: tags that do not depend on each other, mixed tagged and untagged text, sentences drawn from it.

By enumeration of taggings and texts in float64; frequencies of drawn sentences against their probabilities.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import handout
from corpus import Batch, IntegerizedCorpus, Sentence, parse_corpus, parse_sentence
from hmm import FIRST_WORD, Counts, HiddenMarkovModel
from integerize import Integerizer
from lexicon import Lexicon
from tagger import Tagger

TAGS = ["D", "N", "V"]
WORDS = {"the": 3, "dog": 3, "cat": 2, "saw": 2, "barks": 2}
TAGGED = ["the/D dog/N barks/V", "the/D cat/N saw/V the/D dog/N", "cat/N"]
UNTAGGED = ["the dog saw the cat", "barks", "zzz the dog", "the cat barks"]
PARTLY = ["the/D dog saw/V zzz", "cat barks/V"]
MIXTURES = {"tagged": TAGGED, "untagged": UNTAGGED, "semi-supervised": TAGGED + UNTAGGED, "partly": PARTLY + UNTAGGED}
TINY = 1e-10

either_kind = pytest.mark.parametrize("unigram", [False, True], ids=["bigram", "unigram"])


def make_hmm(unigram: bool = False, seed: int = 0, tags: Sequence[str] = TAGS, words: dict | None = None) -> Tagger:
    """In double precision, with random probabilities."""
    tagger = HiddenMarkovModel(Integerizer(tags), Lexicon(words or WORDS), unigram=unigram).double().eval()
    generator = torch.Generator().manual_seed(seed)
    shapes = [tagger.get_parameter(name).shape for name in Counts._fields]
    noise = (torch.randn(shape, generator=generator, dtype=torch.float64).exp() for shape in shapes)
    tagger.m_step(Counts(*noise), smoothing=0.0)
    return tagger


def make_batch(tagger: Tagger, lines: Sequence[str]) -> Batch:
    corpus = IntegerizedCorpus([parse_sentence(line, "test") for line in lines], tagger.lexicon.vocab, tagger.tagset)
    return corpus.batch(torch.arange(len(lines)))


def probabilities(tagger: Tagger) -> dict[str, np.ndarray]:
    return {name: np.exp(table.detach().numpy()) for name, table in tagger.log_probabilities()._asdict().items()}


def factors(tagger: Tagger, words: Sequence[str]) -> handout.Factors:
    tables = [table.detach().numpy() for table in tagger.log_probabilities()]
    vectors = [handout.one_hot_vector(word, list(tagger.lexicon.training_counts)) for word in words]
    return handout.hmm(*tables, vectors)


def close(actual: Tensor | np.ndarray | float, expected: object, tolerance: float = TINY) -> None:
    actual = actual.detach().numpy() if isinstance(actual, Tensor) else actual
    np.testing.assert_allclose(actual, np.asarray(expected), rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------------------------------------- unigram


def check_unigram(tagger: Tagger, tolerance: float = TINY) -> None:
    """One distribution over tags and EOS, whatever was before."""
    p = probabilities(tagger)
    for row in p["trans"]:
        close(row, p["start"])
    close(p["stop"], np.full(len(TAGS), p["stop"][0]))
    close(p["start"].sum() + p["stop"][0], 1.0, tolerance)
    close(p["emission"].sum(axis=0), np.ones(len(TAGS)), tolerance)


@pytest.mark.task_hmm
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_unigram_is_smoothed_relative_frequency(smoothing: float) -> None:
    """p(t) is the share of t, and p(EOS) that of ends, among all tags and ends; emissions are as ever."""
    tagger, bigram = make_hmm(unigram=True), make_hmm()
    for model in (tagger, bigram):
        counts, _ = model.e_step(make_batch(model, TAGGED))
        model.m_step(counts, smoothing)
    check_unigram(tagger)
    events = np.array([3, 4, 2, len(TAGGED)]) + smoothing  # D, N, V, EOS
    p = probabilities(tagger)
    close([*p["start"], p["stop"][0]], events / events.sum())
    close(p["emission"], probabilities(bigram)["emission"])


@pytest.mark.task_hmm
def test_new_unigram_model() -> None:
    check_unigram(HiddenMarkovModel(Integerizer(TAGS), Lexicon(WORDS), unigram=True), 1e-6)


@pytest.mark.task_hmm
def test_unigram_taggings_are_independent() -> None:
    """Given the words, each tag is what it would be alone."""
    tagger = make_hmm(unigram=True)
    chain = tagger(make_batch(tagger, ["the dog barks zzz"]))
    of_tag = (chain.start + chain.emit[0]).softmax(dim=1)
    close(chain.marginals[0], of_tag.detach())
    assert torch.equal(chain.argmax[0], of_tag.argmax(dim=1))


@pytest.mark.task_hmm
def test_unigram_texts_sum_to_one_with_the_empty_one() -> None:
    """p(words) summed over texts of n words is P(n tags, then EOS); p(EOS) is left for no word at all."""
    tagger = make_hmm(unigram=True, words={"a": 2, "b": 2})
    end = probabilities(tagger)["stop"][0]
    for n in range(1, 5):
        texts = [" ".join(words) for words in itertools.product(["a", "b", "zzz"], repeat=n)]
        close(tagger.logprob(make_batch(tagger, texts)).exp().sum(), (1 - end) ** n * end)


@pytest.mark.task_hmm
@either_kind
@pytest.mark.parametrize("mixture", MIXTURES)
def test_logprob(mixture: str, unigram: bool) -> None:
    """log p(tags, words), log p(words), or what lies between, by enumeration."""
    tagger = make_hmm(unigram)
    batch = make_batch(tagger, MIXTURES[mixture])
    expected = []
    for words, tags in zip(batch.words, batch.tags.tolist()):
        expected.append(factors(tagger, words).log_sum(tags[: len(words)]))
    close(tagger.logprob(batch), expected)
    assert math.isclose(tagger.e_step(batch)[1], sum(expected), rel_tol=TINY)


# ------------------------------------------------------------------------------------------------------------------ EM


@pytest.mark.task_hmm
@either_kind
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_em_never_lowers_its_objective(mixture: str, smoothing: float, unigram: bool) -> None:
    """log-likelihood + lambda * sum of log parameters, of which a unigram model has one for each tag and EOS."""
    tagger = make_hmm(unigram, seed=4)
    batch = make_batch(tagger, MIXTURES[mixture])
    words = [row for row in range(tagger.lexicon.dim) if not 1 <= row < FIRST_WORD]
    objectives = []
    for _ in range(12):
        counts, log_likelihood = tagger.e_step(batch)
        start, trans, stop, emission = tagger.log_probabilities()
        free = [start, stop[:1]] if unigram else [start, trans, stop]
        prior = sum(table.sum().item() for table in (*free, emission[words])) if smoothing else 0.0
        objectives.append(log_likelihood + smoothing * prior)
        tagger.m_step(counts, smoothing)
    differences = np.diff(objectives)
    assert (differences > -1e-9).all(), differences
    assert objectives[-1] - objectives[0] > 0.5
    if mixture == "tagged":  # nothing is hidden: done after one step
        close(differences[1:], np.zeros(10), 1e-9)


@pytest.mark.task_hmm
@either_kind
def test_counts_of_tagged_and_untagged_sentences_add_up(unigram: bool) -> None:
    tagger = make_hmm(unigram)
    together, of_both = tagger.e_step(make_batch(tagger, TAGGED + UNTAGGED))
    parts = [tagger.e_step(make_batch(tagger, lines)) for lines in (TAGGED, UNTAGGED)]
    for whole, one, other in zip(together, *(counts for counts, _ in parts)):
        close(whole, one + other)
    close(of_both, sum(log_likelihood for _, log_likelihood in parts))


# ------------------------------------------------------------------------------------------------------------ drawing


def tiny_hmm(unigram: bool = False) -> Tagger:
    return make_hmm(unigram, seed=1, tags=["A", "B"], words={"x": 2, "y": 2})


@either_kind
def test_generated_sentences_have_the_models_distribution(unigram: bool) -> None:
    """How often each tagged sentence of one or two words is drawn, within 4.5 standard deviations."""
    tagger, N = tiny_hmm(unigram), 20_000
    drawn = Counter(str(s) for s in tagger.generate(N, torch.Generator().manual_seed(0), limit=3))
    start, trans, stop, emission = (table.tolist() for table in tagger.log_probabilities())
    words = {"OOV": emission[0], "x": emission[FIRST_WORD], "y": emission[FIRST_WORD + 1]}
    nonempty = sum(math.exp(value) for value in start)
    checked = 0
    for n in (1, 2):
        for tags in itertools.product((0, 1), repeat=n):
            path = start[tags[0]] + sum(trans[s][t] for s, t in zip(tags, tags[1:])) + stop[tags[-1]]
            for chosen in itertools.product(words, repeat=n):
                p = math.exp(path + sum(words[word][tag] for word, tag in zip(chosen, tags))) / nonempty
                sentence = " ".join(f"{word}/{'AB'[tag]}" for word, tag in zip(chosen, tags))
                assert abs(drawn[sentence] - N * p) < 4.5 * math.sqrt(N * p * (1 - p)), sentence
                checked += 1
    assert checked == 2 * 3 + 4 * 9


@either_kind
def test_lengths_of_generated_sentences(unigram: bool) -> None:
    tagger, N = tiny_hmm(unigram), 20_000
    lengths = Counter(len(sentence) for sentence in tagger.generate(N, torch.Generator().manual_seed(1), limit=9))
    p = probabilities(tagger)
    reach = p["start"] / p["start"].sum()
    for n in range(1, 8):
        expected = reach @ p["stop"]
        assert abs(lengths[n] - N * expected) < 4.5 * math.sqrt(N * expected)
        reach = reach @ p["trans"]


def test_generated_sentences_are_a_corpus() -> None:
    """Tagged throughout, the words of the vocabulary or OOV; to be written to a file and read again."""
    tagger = make_hmm()
    sentences = tagger.generate(200, torch.Generator().manual_seed(2))
    assert len(sentences) == 200 and all(isinstance(sentence, Sentence) and len(sentence) for sentence in sentences)
    assert {word for sentence in sentences for word in sentence.words} == {"OOV", *WORDS}
    assert {tag for sentence in sentences for tag in sentence.tags} == set(TAGS)
    assert parse_corpus([str(sentence) for sentence in sentences], "drawn") == sentences


def test_a_sentence_that_does_not_end_is_cut() -> None:
    tagger = make_hmm()
    with torch.no_grad():
        tagger.stop.fill_(-math.inf)
    assert {len(sentence) for sentence in tagger.generate(20, limit=7)} == {7}
    lengths = [len(sentence) for sentence in make_hmm().generate(300, torch.Generator().manual_seed(0), limit=2)]
    assert set(lengths) == {1, 2}


def test_what_is_impossible_is_not_drawn() -> None:
    """Trained without smoothing: only bigrams and words that were counted, and the unused tag never."""
    tagger = make_hmm()
    counts, _ = tagger.e_step(make_batch(tagger, ["the/D dog/N", "dog/N"]))
    tagger.m_step(counts, 0.0)
    drawn = Counter(str(sentence) for sentence in tagger.generate(400, torch.Generator().manual_seed(3)))
    assert set(drawn) == {"the/D dog/N", "dog/N"}


def test_same_generator_same_sentences() -> None:
    tagger = make_hmm()
    one, other = (tagger.generate(50, torch.Generator().manual_seed(seed)) for seed in (5, 5))
    assert one == other != tagger.generate(50, torch.Generator().manual_seed(6))
    torch.manual_seed(7)
    first = tagger.generate(50)
    torch.manual_seed(7)
    assert first == tagger.generate(50)


@either_kind
def test_save_and_load(unigram: bool, tmp_path: Path) -> None:
    tagger = make_hmm(unigram).float()
    tagger.save(tmp_path / "my.model")
    loaded = Tagger.load(tmp_path / "my.model")
    assert loaded.unigram == unigram
    assert loaded.generate(20, torch.Generator().manual_seed(0)) == tagger.generate(
        20, torch.Generator().manual_seed(0)
    )
    counts, _ = loaded.e_step(make_batch(loaded, TAGGED))
    loaded.m_step(counts, 0.5)
    assert torch.equal(loaded.trans[0], loaded.trans[1]) == unigram
