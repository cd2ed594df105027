"""The HMM made from embeddings against eqs. 54-56 as they stand, and its training by gradient and by generalized EM.

One sentence at a time, in float64, sums over taggings by enumeration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import chain as chain_module
import handout
from corpus import Batch, IntegerizedCorpus, Sentence, parse_sentence
from hmm import FIRST_WORD, Counts
from hmm_neural import HiddenMarkovModelNeural
from integerize import Integerizer
from lexicon import Lexicon
from tagger import Tagger
from word_features import Pretrained
from word_vectors import WordVectors

Array = NDArray[np.float64]

TAGS = ["D", "N", "V"]
TRAINING = ["the/D dog/N barks/V", "The/D dog/N saw/V a/D cat/N", "dogs/N bark/V", "a/D cat/N sleeps the dog"]
EVALUATION = ["the/D Dog/N saw/V Paris/N today/N", "barks/V", "zzz/N", "The/D cat/N sees/V a/D", "dogs/N bark/V"]
VECTORS = WordVectors(
    ["OOL", "the", "BOS", "dog", "saw", "paris", "EOS"], torch.randn(7, 4, generator=torch.Generator().manual_seed(3))
)
FEATURES = ["one_hot", "pretrained", "both"]
SIZES = [dict(tag_dim=t, word_dim=w, unigram=u) for t, w, u in
         [(2, 3, False), (0, 0, False), (2, 0, False), (0, 3, False), (2, 3, True)]]  # fmt: skip
SMALL = SIZES[0]

every_size = pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: "-".join(map(str, sizes.values())))
every_features = pytest.mark.parametrize("features", FEATURES)


def sentences(lines: Sequence[str]) -> list[Sentence]:
    return [parse_sentence(line, "test") for line in lines]


def make_tagger(features: str = "both", seed: int = 0, **sizes: int) -> HiddenMarkovModelNeural:
    """In double precision and eval mode, all its parameters random."""
    vectors = [] if features == "one_hot" else [VECTORS]
    lexicon = Lexicon.from_corpus(sentences(TRAINING), vectors=vectors, one_hot=features != "pretrained")
    torch.set_default_dtype(torch.float64)  # p^(w) is made with the model
    try:
        tagger = HiddenMarkovModelNeural(Integerizer(TAGS), lexicon, **{**SMALL, **sizes}).double().eval()
    finally:
        torch.set_default_dtype(torch.float32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return tagger


def make_batch(tagger: Tagger, lines: Sequence[str] = tuple(EVALUATION), hidden: float = 0.0) -> Batch:
    """One batch of all the lines; a tag is hidden (-1) with the given probability."""
    corpus = IntegerizedCorpus(sentences(lines), tagger.lexicon.vocab, tagger.tagset)
    batch = corpus.batch(torch.arange(len(lines)))
    drawn = torch.rand(batch.ids.shape, generator=torch.Generator().manual_seed(5))
    return replace(batch, tags=torch.where(drawn < hidden, -1, batch.tags))


def close(actual: Tensor | float, expected: object, tolerance: float = 1e-10) -> None:
    actual = actual.detach().numpy() if isinstance(actual, Tensor) else actual
    np.testing.assert_allclose(actual, np.asarray(expected), rtol=tolerance, atol=tolerance)


@pytest.fixture(params=["plain"] + ["fast"] * (chain_module.chain_fast is not None))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each engine of the chain that there is."""
    if request.param == "plain":
        monkeypatch.setattr(chain_module, "chain_fast", None)


# ------------------------------------------------------------------------------------------------- against the formulas


def training_words(tagger: Tagger) -> list[str]:
    return list(tagger.lexicon.training_counts)


def features_of(tagger: Tagger, word: str) -> Array:
    """The lexicon's vector of a word of the vocabulary; "OOV" is no training word and in no lexicon."""
    parts = []
    if tagger.lexicon.one_hot:
        parts.append(handout.one_hot_vector(word, training_words(tagger)))
    for block in [block for block in tagger.lexicon.blocks if isinstance(block, Pretrained)]:
        rows = dict(zip(VECTORS.words, VECTORS.matrix.tolist()))
        parts.append(handout.pretrained_vector(word, rows, block.oov.detach().numpy(), word != "OOV"))
    return np.concatenate(parts)


def relative_frequency(tagger: Tagger) -> dict[str, float]:
    """p^(w), add 1/2; of the words that occur once, half of the tokens count as OOV."""
    counts = tagger.lexicon.training_counts
    seen = {"OOV": sum(count == 1 for count in counts.values()) / 2}
    seen.update({word: 0.5 if count == 1 else float(count) for word, count in counts.items()})
    total = sum(seen.values()) + (len(seen) + 2) / 2  # BOS and EOS have rows too
    return {word: (count + 0.5) / total for word, count in seen.items()}


def softmax(scores: dict) -> dict:
    """Eq. 54: exp W / sum exp W."""
    total = sum(math.exp(score) for score in scores.values())
    return {key: math.exp(score) / total for key, score in scores.items()}


def literal(tagger: HiddenMarkovModelNeural, words: Sequence[str]) -> handout.Factors:
    """Eq. 1 with the probabilities of eqs. 54 and 56, a softmax at a time."""
    theta = {name: parameter.detach().numpy() for name, parameter in tagger.named_parameters()}
    k = len(TAGS)
    BOS = EOS = k

    def W_A(s: int, t: int) -> float:
        if tagger.unigram:
            return theta["bias"][t]
        pair = theta["before"][s] @ theta["after"][t] if tagger.tag_dim else theta["before"][s, t]
        return pair + theta["bias"][t]

    def W_B(t: int, word: str) -> float:
        vector = features_of(tagger, word)
        if tagger.word_dim:
            vector = theta["projection"].T @ vector
        return theta["theta"][t] @ vector + (1 + theta["gamma"][t]) * math.log(p_hat[word])

    p_hat = relative_frequency(tagger)
    onward = {s: softmax({t: W_A(s, t) for t in [*range(k), EOS]}) for s in [*range(k), BOS]}
    if not tagger.unigram:
        onward[BOS] = softmax({t: W_A(BOS, t) for t in range(k)})
    emission = [softmax({word: W_B(t, word) for word in p_hat}) for t in range(k)]
    known = [next((w for w in (word, word.lower()) if w in p_hat and w != "OOV"), "OOV") for word in words]

    def log_p_transition(s: int, t: int, i: int) -> float:
        return math.log(onward[s][EOS if t == k + 1 else t])

    return handout.Factors(len(words), k, log_p_transition, lambda t, i: math.log(emission[t][known[i - 1]]))


@every_features
@every_size
def test_chain(features: str, sizes: dict) -> None:
    """Each log-potential is the log-probability of eqs. 54-56."""
    tagger = make_tagger(features, **sizes)
    batch = make_batch(tagger)
    chain = tagger(batch)
    assert chain.shared
    for b, words in enumerate(batch.words):
        expected, n = literal(tagger, words).tables(), len(words)
        close(chain.start[b], expected.start)
        close(chain.emit[b, :n], expected.emit)
        close(chain.stop[b], expected.stop)
        close(chain.trans.expand(n - 1, -1, -1), expected.trans)


@every_size
@pytest.mark.parametrize("hidden", [0.0, 0.5, 1.0])
def test_logprob(hidden: float, sizes: dict, engine: None) -> None:
    """log p(tags, words), with all, some or none of the tags observed; the log-partition is log p(words)."""
    tagger = make_tagger(**sizes)
    batch = make_batch(tagger, hidden=hidden)
    factors = [literal(tagger, words) for words in batch.words]
    observed = [tags[: len(words)] for tags, words in zip(batch.tags.tolist(), batch.words)]
    close(tagger.logprob(batch), [f.log_sum(tags) for f, tags in zip(factors, observed)])
    close(tagger(batch).log_partition, [f.log_sum() for f in factors])
    if hidden == 1.0:
        close(tagger.logprob(replace(batch, tags=None)), tagger.logprob(batch).detach())


@every_features
@every_size
def test_rows_are_distributions(features: str, sizes: dict) -> None:
    """After a tag the tags and EOS, after BOS the tags (unigram: EOS too); a tag emits words, never BOS or EOS."""
    tagger = make_tagger(features, **sizes)
    start, trans, stop, emission = (table.exp() for table in tagger.log_probabilities())
    close(trans.sum(dim=1) + stop, np.ones(3))
    close(start.sum() + (stop[0] if sizes["unigram"] else 0), 1.0)
    close(emission.sum(dim=0), np.ones(3))
    assert not emission[1:FIRST_WORD].any() and (emission[FIRST_WORD:] > 0).all() and (emission[0] > 0).all()
    assert len(emission) == len(tagger.vocabulary) == FIRST_WORD + len(training_words(tagger))
    assert tagger.vocabulary[0] == "OOV" and tagger.vocabulary[FIRST_WORD:] == training_words(tagger)
    assert torch.equal(trans[0], trans[1]) == sizes["unigram"]


def test_a_new_model_prefers_frequent_words() -> None:
    """gamma starts at 0: p(w | t) proportional to p^(w) where theta says nothing (eq. 56)."""
    tagger = make_tagger()
    with torch.no_grad():
        tagger.theta.zero_()
        tagger.gamma.zero_()
    p = relative_frequency(tagger)
    expected = np.array([p[word] for word in ["OOV", *training_words(tagger)]])
    emission = tagger.log_probabilities().emission.exp()
    words = [0, *range(FIRST_WORD, len(emission))]
    for t in range(len(TAGS)):
        close(emission[words, t], expected / expected.sum())


def test_words_that_are_counted_as_oov() -> None:
    """A text in which rare words are OOV already says so by counting them under the empty name."""
    tagger = HiddenMarkovModelNeural(Integerizer(TAGS), Lexicon({"": 5, "a": 3, "b": 2}))
    close(tagger.log_frequency.exp(), np.array([5.5, 0.5, 0.5, 3.5, 2.5]) / 12.5, 1e-6)


def test_padding_batch_and_order_do_not_matter() -> None:
    tagger = make_tagger()
    batch = make_batch(tagger, hidden=0.3)
    together = tagger.logprob(batch).detach()
    wider = [torch.nn.functional.pad(x, (0, 2), value=value) for x, value in ((batch.ids, 10**6), (batch.tags, -1))]
    close(tagger.logprob(replace(batch, ids=wider[0], tags=wider[1])), together)
    for b, words in enumerate(batch.words):
        n = len(words)
        alone = Batch([words], batch.ids[[b], :n], batch.lengths[[b]], batch.tags[[b], :n], batch.fold[[b]])
        close(tagger.logprob(alone), together[[b]])
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = Batch([batch.words[b] for b in order], batch.ids[order], batch.lengths[order], batch.tags[order],
                     batch.fold[order])  # fmt: skip
    close(tagger.logprob(shuffled), together[order])


def test_words_that_occur_once_are_oov_half_of_the_time_in_training() -> None:
    """As tokens; the vocabulary and its features are the same in training and after it."""
    tagger = make_tagger()
    batch = make_batch(tagger, ["barks/V dog/N"] * 2000)
    tables = tagger.log_probabilities()
    tagger.train()
    torch.manual_seed(0)
    rows = tagger.rows(batch).parts[0]
    assert 900 < int((rows[:, 0] == 0).sum()) < 1100 and not (rows[:, 1] == 0).any()
    for one, other in zip(tables, tagger.log_probabilities()):
        assert torch.equal(one, other)
    assert not (tagger.eval().rows(batch).parts[0] == 0).any()


# ------------------------------------------------------------------------------------------------------------- training


@every_size
@pytest.mark.parametrize("hidden", [0.0, 0.4, 1.0])
def test_gradient(hidden: float, sizes: dict) -> None:
    """By finite differences, of every parameter, the vector of OOV among them; and what add_gradient adds."""
    tagger = make_tagger("both", **sizes)
    batch = make_batch(tagger, ["the/D dog zzz/V", "barks/V"], hidden)
    parameters = tuple(tagger.parameters())
    assert torch.autograd.gradcheck(lambda *_: -tagger.logprob(batch).mean(), parameters)
    loss = -tagger.logprob(batch).mean() + 0.5 * sum(p.square().sum() for p in parameters) / 10
    expected = torch.autograd.grad(loss, parameters)
    close(tagger.add_gradient(batch, 0.5, 10), loss.item())
    for parameter, gradient in zip(parameters, expected):
        close(parameter.grad, gradient)


def gradient_of(tagger: Tagger) -> list[Tensor]:
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in tagger.parameters()]


@every_size
@pytest.mark.parametrize("hidden", [0.0, 0.4, 1.0])
def test_first_step_of_generalized_em_is_the_gradient_step(hidden: float, sizes: dict, engine: None) -> None:
    """Fisher's identity: the gradient of the expected log p(t, w) is that of log p(w), at the same parameters."""
    plain, gem = make_tagger(**sizes), make_tagger(**sizes, gem_steps=1)
    loss = plain.add_gradient(make_batch(plain, hidden=hidden), 0.7, 20)
    losses = list(gem.gradients(make_batch(gem, hidden=hidden), 0.7, 20))
    close(losses, [loss])
    for one, other in zip(gradient_of(plain), gradient_of(gem)):
        close(one, other)
    assert max(gradient.abs().max() for gradient in gradient_of(plain)) > 0.05


def test_expected_logprob_by_enumeration() -> None:
    """E[log p(t, w)] under p(t | w) of other parameters."""
    tagger, other = make_tagger(), make_tagger(seed=1)
    lines = ["the dog zzz", "barks"]
    counts, _ = other.e_step(make_batch(other, lines))
    expected = 0.0
    for sentence in sentences(lines):
        now, before = literal(tagger, sentence.words), literal(other, sentence.words)
        expected += sum(math.exp(before.score(t) - before.log_sum()) * now.score(t) for t in now.taggings())
    close(tagger.expected_logprob(counts), expected)


@pytest.mark.parametrize("hidden", [0.4, 1.0])
def test_generalized_em_climbs(hidden: float) -> None:
    """Each step's loss bounds -logprob from above and touches it at the E step, so what lowers it lowers -logprob."""
    tagger = make_tagger(gem_steps=6)
    batch = make_batch(tagger, hidden=hidden)
    optimizer = torch.optim.SGD(tagger.parameters(), lr=0.02)
    before = math.inf
    for _ in range(4):
        losses, exact = [], []
        optimizer.zero_grad()
        for loss in tagger.gradients(batch, 0.0, 1):
            losses.append(loss)
            exact.append(-tagger.logprob(batch).mean().item())
            optimizer.step()
            optimizer.zero_grad()
        assert len(losses) == 6
        close(losses[0], exact[0])
        assert all(bound > value for bound, value in zip(losses[1:], exact[1:]))
        assert np.all(np.diff(losses) < 0) and np.all(np.diff(exact) < 0) and losses[0] < before
        before = exact[-1]


def test_without_an_e_step_there_is_one_gradient() -> None:
    one, other = make_tagger(), make_tagger()
    close(list(one.gradients(make_batch(one), 0.1, 5)), [other.add_gradient(make_batch(other), 0.1, 5)])
    for first, second in zip(gradient_of(one), gradient_of(other)):
        assert torch.equal(first, second)


@pytest.mark.parametrize("K", [2, 8])
def test_anonymous_states_become_different(K: int) -> None:
    """Untagged text in which x or y and a or b take turns, six words a sentence: the states learn the turns."""
    torch.manual_seed(0)
    drawn = torch.randint(2, (60, 6)).tolist()
    text = [Sentence(tuple(("xy", "ab")[i % 2][c] for i, c in enumerate(row)), (None,) * 6) for row in drawn]
    lexicon = Lexicon({word: 100 for word in "xyab"})
    tagger = HiddenMarkovModelNeural(Integerizer(f"s{i}" for i in range(K)), lexicon, tag_dim=4, word_dim=4)
    corpus = IntegerizedCorpus(text, lexicon.vocab, tagger.tagset)
    batch = corpus.batch(torch.arange(len(text)))
    assert (batch.tags == -1).all()
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=0.1, weight_decay=0.0)
    for _ in range(120):
        optimizer.zero_grad()
        loss = tagger.add_gradient(batch, 0.0, len(text))
        optimizer.step()
    # a bit a word; and two states cannot count to six: every second word may be the last, and is one time in three
    best_of_two = 6 * math.log(2) + 2 * math.log(3 / 2) + math.log(3)
    assert loss < best_of_two + 0.3
    assert K > 2 or loss > best_of_two - 0.1
    turns = tagger.log_probabilities().emission.exp()[FIRST_WORD : FIRST_WORD + 2].sum(dim=0)
    assert turns.max() > 0.95 and turns.min() < 0.05


# -------------------------------------------------------------------------------------------------------------the rest


@every_size
def test_generated_sentences(sizes: dict) -> None:
    """Drawn from these probabilities: the first tag, and the words under each tag, within 4.5 standard deviations."""
    tagger, N = make_tagger(**sizes), 5000
    drawn = tagger.generate(N, torch.Generator().manual_seed(0), limit=3)
    start, _, _, emission = (table.exp() for table in tagger.log_probabilities())
    p = (start / start.sum()).tolist()
    for t, tag in enumerate(TAGS):
        first = sum(sentence.tags[0] == tag for sentence in drawn)
        assert abs(first - N * p[t]) < 4.5 * math.sqrt(N * p[t] * (1 - p[t])) + 1e-6
        words = [word for s in drawn for word, of_word in zip(s.words, s.tags) if of_word == tag]
        for row, word in enumerate(tagger.vocabulary):
            q = emission[row, t].item()
            assert abs(words.count(word) - len(words) * q) < 4.5 * math.sqrt(len(words) * q * (1 - q)) + 1, word


@every_size
def test_save_and_load(sizes: dict, tmp_path: Path) -> None:
    tagger = make_tagger(**sizes, gem_steps=2).float()
    tagger.save(tmp_path / "my.model")
    loaded = Tagger.load(tmp_path / "my.model")
    assert type(loaded) is HiddenMarkovModelNeural and loaded.sizes == dict(**sizes, gem_steps=2)
    make_batch(loaded, ["other/N words/N first/N"])  # numbers of words need not agree
    assert torch.equal(tagger.logprob(make_batch(tagger)), loaded.logprob(make_batch(loaded)))
    assert loaded.parameter_count() == tagger.parameter_count()
    assert set(tagger.state_dict()) == {name for name, _ in tagger.named_parameters()} | {"lexicon.blocks.1.matrix"}


@pytest.mark.parametrize("features", ["problex", "affixes", "characters"])
def test_other_word_features(features: str) -> None:
    """Any block of the lexicon can make the vectors of the vocabulary; training goes through it."""
    option = {"problex": "tag_frequencies", "affixes": "word_shapes", "characters": "characters"}[features]
    lexicon = Lexicon.from_corpus(sentences(TRAINING), one_hot=False, **{option: True})
    tagger = HiddenMarkovModelNeural(Integerizer(TAGS), lexicon, **SMALL).double()
    batch = make_batch(tagger, TRAINING)
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=0.05, weight_decay=0.0)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        losses.append(tagger.add_gradient(batch, 0.0, 4))
        optimizer.step()
    assert losses[-1] < losses[0] - 1
    close(tagger.log_probabilities().emission.exp().sum(dim=0), np.ones(3))


def test_counts_of_tagged_text_are_plain_counts() -> None:
    tagger = make_tagger()
    counts, log_likelihood = tagger.e_step(make_batch(tagger, ["the/D dog/N barks/V", "zzz/N"]))
    close(counts.start, [1, 1, 0])
    close(counts.trans, [[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    close(counts.stop, [0, 1, 1])
    row = {word: number for number, word in enumerate(tagger.vocabulary)}
    expected = np.zeros((len(row), 3))
    for word, tag in (("the", 0), ("dog", 1), ("barks", 2), ("OOV", 1)):
        expected[row[word], tag] = 1
    close(counts.emission, expected)
    assert isinstance(counts, Counts) and log_likelihood < 0
