"""The four models against the handout's formulas (handout.py), sentence by sentence, in float64.

A small corpus with all kinds of words: often and once in training, with and without a row in the pretrained lexicon, in
another case, and in neither. Tests of what students write carry the mark of their task.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import struct
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import chain as chain_module
import crf_neural
import enumeration as brute
import handout
from corpus import Batch, InputError, IntegerizedCorpus, Sentence, parse_sentence
from crf import ConditionalRandomField
from crf_backprop import ConditionalRandomFieldBackprop
from crf_neural import ConditionalRandomFieldNeural, sigmoid_rnn
from hmm import FIRST_WORD, Counts, HiddenMarkovModel
from integerize import Integerizer
from lexicon import Lexicon
from tagger import FORMAT, KINDS, Tagger, read_tensors, tagger_class, write_tensors
from word_features import Pretrained
from word_vectors import WordVectors

TINY = 1e-10
TAGS = ["D", "N", "V"]
TRAINING = ["the/D dog/N barks/V", "The/D dog/N saw/V a/D cat/N", "dogs/N bark/V", "a/D cat/N sleeps the dog"]
EVALUATION = [
    "the/D Dog/N saw/V Paris/N today/N",  # Dog: lower-cased; Paris: only in the lexicon; today: nowhere
    "barks/V",
    "zzz/N",
    "a/D BOS/N EOS/V",
    "The/D OOL/N sees/V cat/N",
    "dogs/N bark/V",
]
VECTORS = WordVectors(
    ["OOL", "the", "BOS", "dog", "saw", "paris", "EOS"], torch.randn(7, 4, generator=torch.Generator().manual_seed(3))
)
FEATURES = ["one_hot", "pretrained", "both"]


def sentences(lines: Sequence[str]) -> list[Sentence]:
    return [parse_sentence(line, "test") for line in lines]


def make_lexicon(features: str) -> Lexicon:
    vectors = [] if features == "one_hot" else [VECTORS]
    return Lexicon.from_corpus(sentences(TRAINING), vectors=vectors, one_hot=features != "pretrained")


def make_tagger(kind: str, features: str = "one_hot", seed: int = 0, **sizes: int) -> Tagger:
    """A model in double precision and eval mode, all its parameters random (an HMM's: random probabilities)."""
    generator = torch.Generator().manual_seed(seed)
    tagger = tagger_class(kind)(Integerizer(TAGS), make_lexicon(features), **sizes).double().eval()
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    if isinstance(tagger, HiddenMarkovModel):
        tagger.m_step(Counts(*(parameter.exp() for parameter in ordered(tagger))), smoothing=0.1)
    return tagger


def ordered(tagger: Tagger) -> list[Tensor]:
    """The parameters of an HMM or a stationary CRF in the order of Counts."""
    return [tagger.get_parameter(name).detach() for name in Counts._fields]


def make_batch(tagger: Tagger, lines: Sequence[str] = tuple(EVALUATION), hidden: float = 0.0) -> Batch:
    """One batch of all the lines; a tag is hidden (-1) with the given probability."""
    corpus = IntegerizedCorpus(sentences(lines), tagger.lexicon.vocab, tagger.tagset)
    batch = corpus.batch(torch.arange(len(lines)))
    drawn = torch.rand(batch.ids.shape, generator=torch.Generator().manual_seed(5))
    return replace(batch, tags=torch.where(drawn < hidden, -1, batch.tags))


def vector(tagger: Tagger, word: str) -> np.ndarray:
    """The handout's vector of a word; <BOS> and <EOS> are the words at the ends."""
    training = list(tagger.lexicon.training_counts)
    known = word in training or word.lower() in training
    parts = []
    if tagger.lexicon.one_hot:
        parts.append(handout.one_hot_vector(word, training))
    for block in [block for block in tagger.lexicon.blocks if isinstance(block, Pretrained)]:
        rows = dict(zip(VECTORS.words, VECTORS.matrix.tolist()))
        parts.append(handout.pretrained_vector(word, rows, block.oov.detach().numpy(), known))
    return np.concatenate(parts)


def numpy_parameters(tagger: Tagger) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy() for name, parameter in tagger.named_parameters()}


def vectors_of(tagger: Tagger, words: Sequence[str], ends: bool = False) -> list[np.ndarray]:
    return [vector(tagger, word) for word in (["<BOS>", *words, "<EOS>"] if ends else words)]


def literal(tagger: Tagger, words: Sequence[str]) -> handout.Factors:
    """What the handout says of a sentence, for this model with these parameters."""
    theta = numpy_parameters(tagger)
    if isinstance(tagger, ConditionalRandomFieldNeural):
        vectors = vectors_of(tagger, words, ends=True)
        h, h_ = handout.prefixes(theta["M"], vectors), handout.suffixes(theta["M_"], vectors)
        return handout.birnn_crf(theta, vectors, h, h_)
    formula = handout.hmm if isinstance(tagger, HiddenMarkovModel) else handout.stationary_crf
    names = ("start", "trans", "stop", "emission")
    return formula(*(theta[name] for name in names), vectors_of(tagger, words))


def observed_tags(batch: Batch) -> list[list[int]]:
    return [row[:length] for row, length in zip(batch.tags.tolist(), batch.lengths.tolist())]


def close(actual: Tensor | float, expected: object, tolerance: float = TINY) -> None:
    actual = actual.detach().numpy() if isinstance(actual, Tensor) else actual
    np.testing.assert_allclose(actual, np.asarray(expected), rtol=tolerance, atol=tolerance)


@pytest.fixture(params=["plain"] + ["fast"] * (chain_module.chain_fast is not None))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each engine of the chain that there is."""
    if request.param == "plain":
        monkeypatch.setattr(chain_module, "chain_fast", None)


SMALL = dict(transition_features=2, emission_features=3, tag_dim=2)
NEURAL = [("crf_neural", features, dict(rnn_dim=d, **SMALL)) for features in FEATURES for d in (0, 1, 3)]
MODELS = [("hmm", "one_hot", {}), ("crf", "one_hot", {})]
MODELS += [("crf_backprop", features, {}) for features in FEATURES] + NEURAL


def name_of(model: tuple[str, str, dict]) -> str:
    return "-".join([model[0], model[1], *map(str, list(model[2].values())[:1])])


every_model = pytest.mark.parametrize("model", MODELS, ids=map(name_of, MODELS))
every_neural_model = pytest.mark.parametrize("model", NEURAL, ids=map(name_of, NEURAL))
one_of_each = pytest.mark.parametrize("model", [MODELS[0], MODELS[1], MODELS[4], NEURAL[-1]], ids=name_of)


# ------------------------------------------------------------------------------------------------- against the formulas


@every_model
def test_chain(model: tuple) -> None:
    """Each log-potential is the factor that the formula has at its place."""
    kind, features, sizes = model
    tagger = make_tagger(kind, features, **sizes)
    batch = make_batch(tagger)
    chain = tagger(batch)
    for b, words in enumerate(batch.words):
        expected, n = literal(tagger, words).tables(), len(words)
        close(chain.start[b], expected.start)
        close(chain.emit[b, :n], expected.emit)
        close(chain.stop[b], expected.stop)
        trans = chain.trans.expand(n - 1, -1, -1) if chain.shared else chain.trans[b, : n - 1]
        close(trans, expected.trans)
    assert chain.shared == (sizes.get("rnn_dim", 0) == 0)


@every_model
@pytest.mark.parametrize("hidden", [0.0, 0.5, 1.0])
def test_logprob(model: tuple, hidden: float) -> None:
    """log p(tags | words), of an HMM log p(tags, words), with all, some or none of the tags observed."""
    kind, features, sizes = model
    tagger = make_tagger(kind, features, **sizes)
    batch = make_batch(tagger, hidden=hidden)
    factors = [literal(tagger, words) for words in batch.words]
    measure = handout.Factors.log_sum if kind == "hmm" else handout.Factors.log_conditional
    close(tagger.logprob(batch), [measure(f, tags) for f, tags in zip(factors, observed_tags(batch))])
    close(tagger(batch).log_partition, [f.log_sum() for f in factors])


@one_of_each
def test_logprob_without_tags(model: tuple) -> None:
    """A batch whose tags are None is one with every tag unobserved."""
    kind, features, sizes = model
    tagger = make_tagger(kind, features, **sizes)
    batch = make_batch(tagger, hidden=1.0)
    close(tagger.logprob(replace(batch, tags=None)), tagger.logprob(batch).detach())


@every_model
def test_padding_batch_and_order_do_not_matter(model: tuple) -> None:
    kind, features, sizes = model
    tagger = make_tagger(kind, features, **sizes)
    batch = make_batch(tagger, hidden=0.3)
    together = tagger.logprob(batch).detach()
    beyond = torch.where(batch.mask, batch.ids, torch.tensor([10**9, -7, 3, 0, 1])[: batch.ids.shape[1]])
    close(tagger.logprob(replace(batch, ids=beyond)), together)
    wider = [torch.nn.functional.pad(x, (0, 2), value=value) for x, value in ((batch.ids, 10**6), (batch.tags, -1))]
    close(tagger.logprob(replace(batch, ids=wider[0], tags=wider[1])), together)
    for b in range(len(batch)):
        n = len(batch.words[b])
        alone = Batch([batch.words[b]], batch.ids[b : b + 1, :n], batch.lengths[b : b + 1], batch.tags[b : b + 1, :n],
                      batch.fold[b : b + 1])  # fmt: skip
        close(tagger.logprob(alone), together[b : b + 1])
    order = torch.tensor([3, 0, 5, 4, 2, 1])
    shuffled = Batch([batch.words[b] for b in order], batch.ids[order], batch.lengths[order], batch.tags[order],
                     batch.fold[order])  # fmt: skip
    close(tagger.logprob(shuffled), together[order])


def test_numbers_of_words_do_not_matter() -> None:
    """What counts is the spelling, not the number that it got when it was first read."""
    one, other = make_tagger("crf_neural", "both", rnn_dim=1), make_tagger("crf_neural", "both", rnn_dim=1)
    make_batch(other, ["today/N zzz/N sees/V", "the/D"])
    first, second = make_batch(one), make_batch(other)
    assert not torch.equal(first.ids, second.ids)
    close(one.logprob(first), other.logprob(second).detach())


# ------------------------------------------------------------------------------------------------------- stationary CRF


@pytest.mark.task_crf_backprop
@pytest.mark.parametrize("features", FEATURES)
def test_emission_weights(features: str) -> None:
    """W^B[t, w] = theta_t . w (eq. 42)."""
    tagger = make_tagger("crf_backprop", features)
    batch = make_batch(tagger)
    weights = tagger.emission_weights(tagger.lexicon.features(batch))
    for b, words in enumerate(batch.words):
        close(weights[b, : len(words)], literal(tagger, words).tables().emit)


def pair_of_crfs(features: str = "one_hot") -> tuple[ConditionalRandomField, ConditionalRandomFieldBackprop]:
    """One with its gradient by hand, one by back-propagation, of the same parameters."""
    by_hand, by_backprop = make_tagger("crf", features), make_tagger("crf_backprop", features, seed=1)
    by_backprop.load_state_dict(by_hand.state_dict())
    return by_hand, by_backprop


@pytest.mark.task_crf
@pytest.mark.parametrize("hidden", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("features", FEATURES)
def test_gradient_by_hand(features: str, hidden: float, engine: None) -> None:
    by_hand, by_backprop = pair_of_crfs(features)
    batch = make_batch(by_hand, hidden=hidden)
    gradient, logprob = by_hand.gradient(batch)
    total = by_backprop.logprob(make_batch(by_backprop, hidden=hidden)).sum()
    close(logprob, total.item())
    assert set(gradient) == set(Counts._fields)
    expected = torch.autograd.grad(total, [by_backprop.get_parameter(name) for name in gradient])
    for name, by_autograd in zip(gradient, expected):
        close(gradient[name], by_autograd)
    assert hidden == 1.0 or any(of_parameter.abs().max() > 0.1 for of_parameter in gradient.values())


@pytest.mark.task_crf
def test_gradient_is_observed_minus_expected_counts() -> None:
    """By enumeration: the count of an event in the tagging minus its mean count among taggings drawn from p."""
    tagger = make_tagger("crf")
    lines = ["the/D dog/N saw/V zzz/N", "barks/V"]
    gradient, _ = tagger.gradient(make_batch(tagger, lines))
    expected = {name: np.zeros(tagger.get_parameter(name).shape) for name in gradient}
    for sentence in sentences(lines):
        factors, gold = literal(tagger, sentence.words), [TAGS.index(tag) for tag in sentence.tags]
        rows = [int(v.argmax()) for v in vectors_of(tagger, sentence.words)]
        for tags in factors.taggings():
            p = math.exp(factors.log_conditional(tags))
            for name, count in hand_counts(rows, tags).items():
                for event, times in count.items():
                    expected[name][event] -= p * times
        for name, count in hand_counts(rows, gold).items():
            for event, times in count.items():
                expected[name][event] += times
    for name, value in gradient.items():
        close(value, expected[name])


def hand_counts(rows: Sequence[int], tags: Sequence[int]) -> dict[str, Counter]:
    """The events of one tagged sentence: its first tag, its bigrams, its last tag, its words under tags."""
    return dict(
        start=Counter([tags[0]]),
        trans=Counter(zip(tags[:-1], tags[1:])),
        stop=Counter([tags[-1]]),
        emission=Counter(zip(rows, tags)),
    )


@pytest.mark.task_crf
@pytest.mark.task_crf_backprop
@pytest.mark.parametrize("hidden", [0.0, 0.4])
def test_add_gradient(hidden: float, engine: None) -> None:
    """Of both CRFs: mean of -logprob plus reg |theta|^2 / N, added to what is in `grad` already."""
    reg, N = 0.7, 12
    by_hand, by_backprop = pair_of_crfs()
    for lines in (EVALUATION, EVALUATION[:2]):
        losses = [tagger.add_gradient(make_batch(tagger, lines, hidden), reg, N) for tagger in (by_hand, by_backprop)]
        close(losses[0], losses[1])
        batch = make_batch(by_hand, lines, hidden)
        logprobs = [
            literal(by_hand, words).log_conditional(tags) for words, tags in zip(batch.words, observed_tags(batch))
        ]
        norm = sum((parameter**2).sum() for parameter in numpy_parameters(by_hand).values())
        close(losses[0], -np.mean(logprobs) + reg * norm / N)
        for (name, one), other in zip(by_hand.named_parameters(), by_backprop.parameters()):
            assert one.grad is not None, name
            close(one.grad, other.grad)


@pytest.mark.parametrize("kind", ["crf", "crf_backprop", "crf_neural"])
def test_regularizer_is_the_same_whatever_the_batch(kind: str) -> None:
    """Its gradient is 2 reg theta / N, for a batch of one sentence as for one of six."""
    reg, N = 3.0, 20
    for lines in (EVALUATION[:1], EVALUATION):
        with_reg, without = make_tagger(kind), make_tagger(kind)
        loss = with_reg.add_gradient(make_batch(with_reg, lines), reg, N)
        plain = without.add_gradient(make_batch(without, lines), 0.0, N)
        norm = sum((parameter**2).sum() for parameter in numpy_parameters(without).values())
        close(loss - plain, reg * norm / N)
        close(without.squared_norm(), norm)
        for one, other in zip(with_reg.parameters(), without.parameters()):
            close(one.grad - other.grad, 2 * reg / N * other.detach())


# ------------------------------------------------------------------------------------------------------------ biRNN-CRF


@pytest.mark.task_context
@every_neural_model
def test_context(model: tuple) -> None:
    """prefix[:, i-1] = h_{i-2} and suffix[:, i-1] = h'_i for i = 1 ... n+1 of each sentence (eq. 46)."""
    tagger = make_tagger(model[0], model[1], **model[2])
    batch = make_batch(tagger)
    prefix, suffix = tagger.context(tagger.lexicon.features(batch, ends=True), batch)
    B, n = batch.ids.shape
    assert prefix.shape == suffix.shape == (B, n + 1, model[2]["rnn_dim"])
    theta = numpy_parameters(tagger)
    for b, words in enumerate(batch.words):
        vectors = vectors_of(tagger, words, ends=True)
        h, h_ = handout.prefixes(theta["M"], vectors), handout.suffixes(theta["M_"], vectors)
        for i in range(1, len(words) + 2):
            close(prefix[b, i - 1], h[i - 2])
            close(suffix[b, i - 1], h_[i])


def random_states(tagger: ConditionalRandomFieldNeural, batch: Batch) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    shape = (2, len(batch), batch.ids.shape[1] + 1, tagger.d)
    prefix, suffix = torch.rand(shape, generator=generator, dtype=torch.float64)
    return prefix, suffix


def literal_with_states(
    tagger: ConditionalRandomFieldNeural, words: Sequence[str], prefix: Tensor, suffix: Tensor
) -> brute.Sentence:
    h = {i - 2: prefix[i - 1].numpy() for i in range(1, len(words) + 2)}
    h_ = {i: suffix[i - 1].numpy() for i in range(1, len(words) + 2)}
    return handout.birnn_crf(numpy_parameters(tagger), vectors_of(tagger, words, ends=True), h, h_).tables()


@pytest.mark.task_transition_potentials
@every_neural_model
def test_transition_potentials(model: tuple) -> None:
    """theta^A . f^A of eqs. 45 and 47, whatever the states are that it is given."""
    tagger = make_tagger(model[0], model[1], **model[2])
    batch = make_batch(tagger)
    prefix, suffix = random_states(tagger, batch)
    start, trans, stop = tagger.transition_potentials(prefix, suffix, batch)
    assert trans.shape == ((len(batch), batch.ids.shape[1] - 1, 3, 3) if tagger.d else (3, 3))
    for b, words in enumerate(batch.words):
        expected = literal_with_states(tagger, words, prefix[b], suffix[b])
        close(start[b], expected.start)
        close(stop[b], expected.stop)
        close(trans[b, : len(words) - 1] if tagger.d else trans.expand(len(words) - 1, -1, -1), expected.trans)


@pytest.mark.task_emission_potentials
@every_neural_model
def test_emission_potentials(model: tuple) -> None:
    """theta^B . f^B of eqs. 45 and 48, whatever the states are that it is given."""
    tagger = make_tagger(model[0], model[1], **model[2])
    batch = make_batch(tagger)
    prefix, suffix = random_states(tagger, batch)
    emit = tagger.emission_potentials(prefix, suffix, tagger.lexicon.features(batch, ends=True))
    assert emit.shape == (*batch.ids.shape, 3)
    for b, words in enumerate(batch.words):
        close(emit[b, : len(words)], literal_with_states(tagger, words, prefix[b], suffix[b]).emit)


@pytest.mark.task_context
@pytest.mark.task_transition_potentials
@pytest.mark.task_emission_potentials
@pytest.mark.parametrize("d", [0, 2])
@pytest.mark.parametrize("lines", [["the/D dog zzz/V", "barks/V", "The/D cat/N"], ["zzz/N", "dog"]], ids=["mixed", "1"])
def test_gradient_of_the_neural_loss(d: int, lines: list[str], engine: None) -> None:
    """By finite differences, of every parameter, the trained OOV vector among them."""
    tagger = make_tagger("crf_neural", "pretrained", rnn_dim=d, **SMALL)
    batch = make_batch(tagger, lines)
    parameters = tuple(parameter for parameter in tagger.parameters() if parameter.numel())
    assert torch.autograd.gradcheck(lambda *_: -tagger.logprob(batch).mean(), parameters)
    tagger.add_gradient(batch, 0.5, 10)
    loss = -tagger.logprob(batch).mean() + 0.5 * sum(p.square().sum() for p in parameters) / 10
    for parameter, expected in zip(parameters, torch.autograd.grad(loss, parameters)):
        close(parameter.grad, expected)


def sigmoids_by_formula(x: Tensor, y: Tensor, theta: Tensor) -> Tensor:
    return torch.stack([torch.stack([(theta * torch.sigmoid(p + q)).sum() for q in y]) for p in x])


@pytest.mark.parametrize("piece", [1, 7, 50, 2**19], ids=lambda size: f"piece{size}")
@pytest.mark.parametrize("P, Q, F", [(1, 1, 1), (5, 4, 3), (11, 2, 6), (3, 9, 1)])
def test_sum_of_sigmoids(P: int, Q: int, F: int, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel and its gradients, also where the work is cut into pieces and a last shorter one."""
    if "crf_neural_fast" in sys.modules:
        monkeypatch.setattr(sys.modules["crf_neural_fast"], "PIECE", piece)
    generator = torch.Generator().manual_seed(P)
    arguments = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((P, F), (Q, F), F)
    ]
    out, expected = crf_neural.sum_of_sigmoids(*arguments), sigmoids_by_formula(*arguments)
    close(out, expected.detach())
    weight = torch.randn(P, Q, generator=generator, dtype=torch.float64)
    gradients = torch.autograd.grad((out * weight).sum(), arguments)
    for gradient, by_formula in zip(gradients, torch.autograd.grad((expected * weight).sum(), arguments)):
        close(gradient, by_formula)
    assert torch.autograd.gradcheck(crf_neural.sum_of_sigmoids, tuple(arguments))


def test_sum_of_sigmoids_of_nothing_and_of_large_arguments() -> None:
    empty = torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)
    y, theta = torch.ones(4, 3, dtype=torch.float64, requires_grad=True), torch.ones(3, dtype=torch.float64)
    out = crf_neural.sum_of_sigmoids(empty, y, theta)
    assert out.shape == (0, 4)
    out.sum().backward()
    assert empty.grad.shape == (0, 3) and not y.grad.any()
    x = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    out = crf_neural.sum_of_sigmoids(x, torch.zeros(1, 1), torch.tensor([2.0]))
    close(out, [[2.0], [0.0]])
    out.sum().backward()
    close(x.grad, [[0.0], [0.0]])


def test_neural_model_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The students' package has no crf_neural_fast.py: the plain function gives the same chain and gradient."""
    monkeypatch.setitem(sys.modules, "crf_neural_fast", None)
    spec = importlib.util.spec_from_file_location("crf_neural_plain", crf_neural.__file__)
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    assert plain.sum_of_sigmoids.__module__ == "crf_neural_plain"
    one = make_tagger("crf_neural", "both", rnn_dim=2)
    other = plain.ConditionalRandomFieldNeural(one.tagset, make_lexicon("both"), **one.sizes).double().eval()
    other.load_state_dict(one.state_dict())
    losses = [tagger.add_gradient(make_batch(tagger), 0.1, 10) for tagger in (one, other)]
    close(losses[0], losses[1])
    for first, second in zip(one.parameters(), other.parameters()):
        close(first.grad, second.grad)


@pytest.mark.parametrize("B, m, d", [(1, 1, 1), (3, 4, 2), (2, 6, 5), (2, 3, 0)])
def test_sigmoid_rnn(B: int, m: int, d: int) -> None:
    """Through tanh, yet the states are those of the sigmoid recurrence, and the gradients too."""
    generator = torch.Generator().manual_seed(m)
    inputs = (3 * torch.randn(B, m, d, generator=generator, dtype=torch.float64)).requires_grad_()
    recurrent = torch.randn(d, d, generator=generator, dtype=torch.float64, requires_grad=True)
    states = [torch.zeros(B, d, dtype=torch.float64)]
    for j in range(m):
        states.append(torch.sigmoid(inputs[:, j] + states[-1] @ recurrent.T))
    expected = torch.stack(states, dim=1)
    actual = sigmoid_rnn(inputs, recurrent)
    close(actual, expected.detach())
    if d:
        weight = torch.randn(actual.shape, generator=generator, dtype=torch.float64)
        gradients = torch.autograd.grad((actual * weight).sum(), (inputs, recurrent))
        for one, other in zip(gradients, torch.autograd.grad((expected * weight).sum(), (inputs, recurrent))):
            close(one, other)


@pytest.mark.parametrize("d", [0, 5])
def test_parameter_shapes(d: int) -> None:
    """Those that the docstring of the class and the handout name, so that a reader finds eq. 46's M in `tagger.M`."""
    tagger = make_tagger("crf_neural", "both", rnn_dim=d, transition_features=6, emission_features=7, tag_dim=3)
    e, k = len(vector(tagger, "the")), len(TAGS)
    expected = dict(
        M=(d, 1 + d + e),
        M_=(d, 1 + e + d),
        U_A=(6, 1 + d + 3 + 3 + d),
        U_B=(7, 1 + d + 3 + e + d),
        theta_A=(6,),
        theta_B=(7,),
        tags=(k + 2, 3),
    )
    shapes = {name: tuple(parameter.shape) for name, parameter in tagger.named_parameters()}
    assert {name: shape for name, shape in shapes.items() if not name.startswith("lexicon.")} == expected
    assert tagger.parameter_count() == sum(map(math.prod, expected.values())) + VECTORS.matrix.shape[1]


@pytest.mark.parametrize("kind", ["hmm", "crf", "crf_backprop"])
def test_parameter_shapes_of_stationary_models(kind: str) -> None:
    tagger = make_tagger(kind)
    e, k = len(vector(tagger, "the")), len(TAGS)
    shapes = {name: tuple(parameter.shape) for name, parameter in tagger.named_parameters()}
    assert shapes == dict(start=(k,), stop=(k,), trans=(k, k), emission=(e, k))


# ------------------------------------------------------------------------------------------------------------------ HMM


def rows_of(tagger: Tagger, words: Sequence[str]) -> list[int]:
    """The row of `emission` of each word."""
    return [int(v.argmax()) for v in vectors_of(tagger, words)]


def counts_by_hand(tagger: Tagger, lines: Sequence[str]) -> dict[str, np.ndarray]:
    """The posterior mean of each event's count, by enumeration of the taggings that agree with the observed tags."""
    result = {name: np.zeros(tagger.get_parameter(name).shape) for name in Counts._fields}
    for sentence in sentences(lines):
        factors, rows = literal(tagger, sentence.words), rows_of(tagger, sentence.words)
        observed = [-1 if tag is None else TAGS.index(tag) for tag in sentence.tags]
        total = factors.log_sum(observed)
        for tags in factors.taggings(observed):
            p = math.exp(factors.score(tags) - total)
            for name, count in hand_counts(rows, tags).items():
                for event, times in count.items():
                    result[name][event] += p * times
    return result


def bare(lines: Sequence[str]) -> list[str]:
    """The lines without their tags."""
    return [" ".join(sentence.words) for sentence in sentences(lines)]


@pytest.mark.task_hmm
def test_e_step_on_tagged_text_counts() -> None:
    """Plain integers, whatever the parameters, and the log-likelihood log p(tags, words)."""
    tagger = make_tagger("hmm")
    lines = ["the/D dog/N barks/V", "dog/N", "the/D DOG/N barks/V zzz/N", "the/N yyy/N"]
    counts, log_likelihood = tagger.e_step(make_batch(tagger, lines))
    close(counts.start, [2, 2, 0])
    close(counts.trans, [[0, 2, 0], [0, 1, 2], [0, 1, 0]])
    close(counts.stop, [0, 3, 1])
    row = {word: rows_of(tagger, [word])[0] for word in ("the", "dog", "barks", "zzz")}
    expected = {row["the"]: [2, 1, 0], row["dog"]: [0, 3, 0], row["barks"]: [0, 0, 2], row["zzz"]: [0, 2, 0]}
    close(counts.emission, [expected.get(number, [0, 0, 0]) for number in range(tagger.lexicon.dim)])
    gold = [(s.words, [TAGS.index(tag) for tag in s.tags]) for s in sentences(lines)]
    close(log_likelihood, sum(literal(tagger, words).score(tags) for words, tags in gold))


@pytest.mark.task_hmm
def test_e_step_counts_tags_that_were_impossible() -> None:
    """Plain counts whatever the parameters: also where these give the tagged sentence probability 0."""
    tagger = make_tagger("hmm")
    first, _ = tagger.e_step(make_batch(tagger, ["the/D dog/N"]))
    tagger.m_step(first, 0.0)
    counts, log_likelihood = tagger.e_step(make_batch(tagger, ["barks/V the/D", "dog/V"]))
    assert log_likelihood == -math.inf
    close(counts.start, [0, 0, 2])
    close(counts.trans, [[0, 0, 0], [0, 0, 0], [1, 0, 0]])
    close(counts.stop, [1, 0, 1])
    close(counts.emission.sum(dim=0), [1, 0, 2])


@pytest.mark.task_hmm
@pytest.mark.parametrize("lines", [bare(EVALUATION), EVALUATION[:2] + bare(EVALUATION[2:]),
                                   ["the/D dog barks/V zzz", "dog", "a cat/N"]],
                         ids=["untagged", "semi-supervised", "partly tagged"])  # fmt: skip
def test_e_step_is_the_posterior_expectation(lines: list[str], engine: None) -> None:
    tagger = make_tagger("hmm")
    batch = make_batch(tagger, lines)
    counts, log_likelihood = tagger.e_step(batch)
    for name, expected in counts_by_hand(tagger, lines).items():
        close(getattr(counts, name), expected)
    factors = [literal(tagger, words) for words in batch.words]
    close(log_likelihood, sum(f.log_sum(tags) for f, tags in zip(factors, observed_tags(batch))))
    if all(tag is None for sentence in sentences(lines) for tag in sentence.tags):
        without, _ = tagger.e_step(replace(batch, tags=None))
        for one, other in zip(without, counts):
            close(one, other)


@pytest.mark.task_hmm
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_m_step_is_smoothed_relative_frequency(smoothing: float) -> None:
    """After a tag: k tags or EOS; after BOS: k tags; under a tag: the vocabulary or OOV (eq. 17, add lambda)."""
    tagger = make_tagger("hmm")
    counts, _ = tagger.e_step(make_batch(tagger, ["the/D dog/N barks/V", "dog/N", "a/N zzz/N"]))
    tagger.m_step(counts, smoothing)
    p = {name: np.exp(value) for name, value in numpy_parameters(tagger).items()}
    k, V = 3, 1 + len(tagger.lexicon.training_counts)
    start, stop = [1, 2, 0], [0, 2, 1]
    trans = [[0, 1, 0], [0, 1, 1], [0, 0, 0]]
    words = {"the": [1, 0, 0], "dog": [0, 2, 0], "barks": [0, 0, 1], "a": [0, 1, 0], "zzz": [0, 1, 0]}
    occurrences = [1, 4, 1]
    for t in range(k):
        close(p["start"][t], (start[t] + smoothing) / (3 + k * smoothing))
        after = occurrences[t] + (k + 1) * smoothing
        close(p["stop"][t], (stop[t] + smoothing) / after)
        close(p["trans"][t], (np.array(trans[t]) + smoothing) / after)
        for word in [*tagger.lexicon.training_counts, "zzz"]:
            count = words.get(word, [0, 0, 0])[t]
            close(p["emission"][rows_of(tagger, [word])[0], t], (count + smoothing) / (occurrences[t] + V * smoothing))
    assert not p["emission"][1:FIRST_WORD].any()  # BOS and EOS are no words
    check_normalized(p)
    assert (tagger.start[2] == -math.inf) == (smoothing == 0.0)  # never counted


def check_normalized(p: dict[str, np.ndarray]) -> None:
    close(p["start"].sum(), 1.0)
    close(p["trans"].sum(axis=1) + p["stop"], np.ones(3))
    close(p["emission"].sum(axis=0), np.ones(3))


@pytest.mark.task_hmm
def test_m_step_of_an_unused_tag() -> None:
    """Without smoothing nothing is known of it: all -inf, no nan; with smoothing its distributions are uniform."""
    tagger = make_tagger("hmm")
    counts, _ = tagger.e_step(make_batch(tagger, ["the/D dog/N", "dog/N"]))
    tagger.m_step(counts, 0.0)
    assert all(
        (x == -math.inf).all() for x in (tagger.trans[2], tagger.stop[2], tagger.emission[:, 2], tagger.trans[:, 2])
    )
    assert not any(parameter.isnan().any() for parameter in tagger.parameters())
    tagger.m_step(counts, 0.5)
    close(tagger.trans[2].exp(), np.full(3, 1 / 4))
    close(tagger.stop[2].exp(), 1 / 4)
    check_normalized({name: np.exp(value) for name, value in numpy_parameters(tagger).items()})


@pytest.mark.task_hmm
def test_new_model_is_a_distribution_that_breaks_symmetry() -> None:
    """From equal tags EM would never move."""
    torch.manual_seed(0)
    tagger = HiddenMarkovModel(Integerizer(TAGS), make_lexicon("one_hot")).double()
    p = {name: np.exp(value) for name, value in numpy_parameters(tagger).items()}
    for total in (p["start"].sum(), *(p["trans"].sum(axis=1) + p["stop"]), *p["emission"].sum(axis=0)):
        close(total, 1.0, tolerance=1e-5)
    assert np.ptp(p["emission"][FIRST_WORD:], axis=1).min() > 0


@pytest.mark.task_hmm
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("supervised", [0, 2])
def test_em_never_lowers_its_objective(smoothing: float, supervised: int) -> None:
    """log-likelihood + lambda * sum of log parameters (that of MAP estimation under a Dirichlet prior)."""
    tagger = make_tagger("hmm", seed=4)
    lines = EVALUATION[:supervised] + bare(EVALUATION[supervised:]) + ["the dog/N barks", "a cat saw the dog"]
    batch = make_batch(tagger, lines)
    words = [row for row in range(tagger.lexicon.dim) if not 1 <= row < FIRST_WORD]
    objectives = []
    for _ in range(12):
        counts, log_likelihood = tagger.e_step(batch)
        parameters = [tagger.start, tagger.trans, tagger.stop, tagger.emission[words]]
        prior = sum(parameter.sum().item() for parameter in parameters) if smoothing else 0.0
        objectives.append(log_likelihood + smoothing * prior)
        tagger.m_step(counts, smoothing)
    differences = np.diff(objectives)
    assert (differences > -1e-9).all(), differences
    assert objectives[-1] - objectives[0] > 0.5


@pytest.mark.task_hmm
def test_probability_of_words_sums_to_one_with_the_longer_texts() -> None:
    """p(words), summed over all sentences of n words, is p(n tags before EOS)."""
    lexicon = Lexicon({"a": 2, "b": 1})
    tagger = HiddenMarkovModel(Integerizer(TAGS), lexicon).double().eval()
    generator = torch.Generator().manual_seed(9)
    tagger.m_step(Counts(*(torch.rand(x.shape, generator=generator).double() for x in ordered(tagger))), 0.1)
    start, trans, stop = (tagger.get_parameter(name).detach().exp().numpy() for name in ("start", "trans", "stop"))
    total = 0.0
    for n in range(1, 6):
        texts = [" ".join(words) for words in itertools.product(["a", "b", "elsewhere"], repeat=n)]
        of_length = tagger.logprob(make_batch(tagger, texts)).exp().sum().item()
        close(of_length, start @ np.linalg.matrix_power(trans, n - 1) @ stop)
        total += of_length
    longer = (start @ np.linalg.matrix_power(trans, 5)).sum()
    assert 0.5 < total < 1
    close(total + longer, 1.0)


@pytest.mark.task_hmm
def test_crf_with_an_hmms_probabilities_is_its_conditional() -> None:
    """Eq. 30 contains every HMM: phi = p."""
    hmm, crf = make_tagger("hmm"), make_tagger("crf")
    crf.load_state_dict(hmm.state_dict())
    batch = make_batch(hmm, hidden=0.3)
    conditional = hmm.logprob(batch) - hmm(batch).log_partition
    close(crf.logprob(make_batch(crf, hidden=0.3)), conditional.detach())
    assert (conditional < -0.1).any()


# ---------------------------------------------------------------------------------------------------------- model files


def single(model: tuple) -> Tagger:
    """In single precision, as models are in use."""
    kind, features, sizes = model
    return make_tagger(kind, features, **sizes).float()


@every_model
def test_save_and_load(model: tuple, tmp_path: Path) -> None:
    tagger = single(model)
    path = tmp_path / "my.model"
    tagger.save(path, train=["ensup"], nested={"a": [1, 2.5, None]})
    assert [file.name for file in tmp_path.iterdir()] == ["my.model"]  # nothing else is left behind
    loaded = Tagger.load(path)
    assert type(loaded) is type(tagger) and loaded.kind == model[0] and not loaded.training
    assert list(loaded.tagset) == TAGS and loaded.sizes == tagger.sizes
    assert loaded.more == {"train": ["ensup"], "nested": {"a": [1, 2.5, None]}}
    make_batch(loaded, ["other/N words/N first/N"])  # numbers of words need not agree
    one, other = tagger(make_batch(tagger)), loaded(make_batch(loaded))
    for first, second in zip(
        (one.start, one.emit, one.trans, one.stop), (other.start, other.emit, other.trans, other.stop)
    ):
        assert torch.equal(first, second)
    assert torch.equal(tagger.logprob(make_batch(tagger)), loaded.logprob(make_batch(loaded)))
    assert torch.equal(one.argmax, other.argmax)
    words = ["the", "THE", "dog", "sleeps", "Sleeps", "paris", "Paris", "today", "BOS"]
    categories = [tagger.lexicon.category(word) for word in words]
    assert [loaded.lexicon.category(word) for word in words] == categories
    assert categories[:5] == ["known", "known", "known", "seen", "seen"] and categories[-2:] == ["novel", "novel"]
    assert categories[5:7] == ["novel" if model[1] == "one_hot" else "seen"] * 2


def test_every_kind_has_its_class() -> None:
    for kind in KINDS:
        assert tagger_class(kind).kind == kind


def test_save_replaces_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "my.model"
    single(MODELS[0]).save(path)
    single(NEURAL[1]).save(path)
    assert Tagger.load(path).kind == "crf_neural"
    with pytest.raises(InputError, match="missing"):
        single(MODELS[0]).save(tmp_path / "missing" / "my.model")
    assert [file.name for file in tmp_path.iterdir()] == ["my.model"]


Header = dict[str, Any]
Change = Callable[[Header, dict[str, Tensor]], Any]


def setting(name: str, value: Any) -> Change:
    return lambda header, tensors: header.__setitem__(name, value)


def block(header: Header) -> dict[str, Any]:
    """The pretrained block, as the header describes it."""
    return header["lexicon"]["blocks"][0]


CORRUPTIONS: dict[str, Change] = {
    **{f"no {name}": lambda header, _, name=name: header.pop(name) for name in
       ("version", "kind", "tagset", "sizes", "lexicon", "more")},
    **{f"no {name} in the lexicon": lambda header, _, name=name: header["lexicon"].pop(name) for name in
       ("training_counts", "untagged_words", "one_hot", "blocks")},
    **{f"no {name} of a block": lambda header, _, name=name: block(header).pop(name) for name in
       ("kind", "words", "dim")},
    "another version": setting("version", 999),
    "unknown kind": setting("kind", "nonsense"),
    "kind is a list": setting("kind", ["crf"]),
    "kind of other parameters": setting("kind", "crf"),
    "too few tags": setting("tagset", ["D"]),
    "a tag twice": setting("tagset", ["D", "N", "D"]),
    "tagset is a number": setting("tagset", 3),
    "tags are numbers": setting("tagset", [1, 2, 3]),
    "counts are a list": lambda header, _: header["lexicon"].update(training_counts=["the"]),
    "a count is a word": lambda header, _: header["lexicon"]["training_counts"].update(the="many"),
    "a count is infinite": lambda header, _: header["lexicon"]["training_counts"].update(the=math.inf),
    "too many words": lambda header, _: header["lexicon"]["training_counts"].update(another=1),
    "untagged words are a number": lambda header, _: header["lexicon"].update(untagged_words=7),
    "unknown size": lambda header, _: header["sizes"].update(depth=3),
    "negative size": lambda header, _: header["sizes"].update(rnn_dim=-1),
    "size is a word": lambda header, _: header["sizes"].update(rnn_dim="two"),
    "another size": lambda header, _: header["sizes"].update(rnn_dim=9),
    "sizes are a list": setting("sizes", [1, 2]),
    "a lexicon without OOL": lambda header, _: block(header)["words"].remove("OOL"),
    "a lexicon with too few words": lambda header, _: block(header)["words"].pop(1),
    "a lexicon with too many words": lambda header, _: block(header)["words"].append("another"),
    "too few lexicons": lambda header, _: header["lexicon"].update(blocks=[]),
    "too many lexicons": lambda header, _: header["lexicon"]["blocks"].append(dict(block(header))),
    "a block of no kind": lambda header, _: block(header).update(kind="nonsense"),
    "a block of another kind": lambda header, _: block(header).update(kind="affixes"),
    "a block of a vast dimension": lambda header, _: block(header).update(dim=10**15),
    "more is a number": setting("more", 5),
    "no M": lambda _, tensors: tensors.pop("M"),
    "M of another shape": lambda _, tensors: tensors.update(M=tensors["M"].T.contiguous()),
    "a tensor too many": lambda _, tensors: tensors.update(another=torch.zeros(2)),
}  # fmt: skip


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_load_of_a_changed_file(corruption: str, tmp_path: Path) -> None:
    """A header that does not fit its tensors is bad input, found out when it is read and not later."""
    path = tmp_path / "my.model"
    single(("crf_neural", "both", dict(rnn_dim=2, **SMALL))).save(path)
    header, tensors = read_tensors(path)
    CORRUPTIONS[corruption](header, tensors)
    write_tensors(path, tensors, header)
    with pytest.raises(InputError, match="my.model") as raised:
        Tagger.load(path)
    assert "\n" not in str(raised.value)


def no_model_files(folder: Path) -> dict[str, Path]:
    """Files that are no models, by what they are."""
    files = {
        name: folder / f"{name}.model" for name in ("empty", "text", "pickle", "cut", "other", "no object", "length")
    }
    whole = folder / "whole"
    single(MODELS[0]).save(whole)
    files["empty"].write_bytes(b"")
    files["text"].write_text("the/D dog/N\n")
    torch.save({"weights": torch.zeros(3)}, files["pickle"])
    files["cut"].write_bytes(whole.read_bytes()[:-8])
    save_file({"weights": torch.zeros(3)}, files["other"])
    save_file({"weights": torch.zeros(3)}, files["no object"], {FORMAT: json.dumps([1, 2])})
    files["length"].write_bytes(struct.pack("<Q", 2**60) + b"{}")
    return {**files, "missing": folder / "missing.model", "folder": folder}


@pytest.mark.parametrize(
    "what", ["empty", "text", "pickle", "cut", "other", "no object", "length", "missing", "folder"]
)
def test_load_of_what_is_no_model(what: str, tmp_path: Path) -> None:
    path = no_model_files(tmp_path)[what]
    with pytest.raises(InputError) as raised:
        Tagger.load(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    if what == "pickle":
        assert "pickle" in str(raised.value)
