"""Variations of the biRNN-CRF against their formulas, sentence by sentence, with explicit loops, in float64.

The formulas are those at the head of crf_extended.py and encoders.py. Word vectors are taken from the lexicon, which
has tests of its own; nothing else of the code under test is used.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import handout
from corpus import Batch, IntegerizedCorpus, parse_sentence
from crf_extended import Awesome, ConditionalRandomFieldExtended
from crf_neural import ConditionalRandomFieldNeural
from encoders import Encoder
from handout import sigma
from integerize import Integerizer
from lexicon import Lexicon
from tagger import Tagger, tagger_class
from word_vectors import WordVectors

Array = np.ndarray
States = tuple[dict[int, Array], dict[int, Array]]  # h_j and h'_j by j

TAGS = ["D", "N", "V"]
K = len(TAGS)
TRAINING = ["the/D dog/N barks/V", "The/D dog/N saw/V a/D cat/N", "dogs/N bark/V", "a/D cat/N sleeps/V"]
LINES = ["the/D Dog/N saw/V Paris/N today/N", "barks/V", "zzz/N", "The/D cat/N", "a/D dogs/N bark/V"]
VECTORS = WordVectors(
    ["OOL", "the", "BOS", "dog", "saw", "paris", "EOS"], torch.randn(7, 4, generator=torch.Generator().manual_seed(3))
)
SIZES = dict(rnn_dim=3, transition_features=2, emission_features=3, tag_dim=2)
SHARED = dict(rnn_dim=3, emission_features=3, potentials="shared")
VARIANTS: dict[str, dict[str, Any]] = {
    "default": SIZES,
    "no context": dict(SIZES, rnn_dim=0),
    "inner": dict(SIZES, potentials="inner"),
    "emission_context": dict(SIZES, potentials="emission_context"),
    "emission_mlp": dict(SIZES, potentials="emission_mlp"),
    "emission_mlp, lstm": dict(SIZES, potentials="emission_mlp", rnn="lstm", outside=True),
    "window 1": dict(SIZES, potentials="window"),
    "window 2": dict(SIZES, potentials="window", window=2),
    "window 9": dict(SIZES, potentials="window", window=9),
    "shared": SHARED,
    "shared, no context": dict(SHARED, rnn_dim=0),
    "no boundary": dict(SIZES, boundary=False),
    "shared, no boundary": dict(SHARED, boundary=False),
    "lstm": dict(SIZES, rnn="lstm"),
    "gru": dict(SIZES, rnn="gru"),
    "deep sigmoid": dict(SIZES, layers=3),
    "deep lstm": dict(SIZES, rnn="lstm", layers=2, potentials="emission_context"),
    "deep gru, inner": dict(SIZES, rnn="gru", layers=2, potentials="inner"),
    "outside": dict(SIZES, outside=True),
    "shared, outside, lstm": dict(SHARED, outside=True, rnn="lstm"),
    "unigram": dict(SIZES, transition_features=16, unigram=True),
    "shared, unigram": dict(SHARED, unigram=True),
    "emission_mlp, unigram": dict(rnn_dim=3, emission_features=3, potentials="emission_mlp", unigram=True, rnn="gru"),
    "window, unigram": dict(SIZES, transition_features=16, potentials="window", unigram=True, outside=True),
    "dropout": dict(SIZES, dropout=0.4, rnn="gru", layers=2),
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def sentences(lines: Sequence[str]) -> list:
    return [parse_sentence(line, "test") for line in lines]


def make_lexicon(hand_made: bool = True) -> Lexicon:
    options = dict(one_hot=hand_made, tag_frequencies=hand_made, word_shapes=hand_made)
    return Lexicon.from_corpus(sentences(TRAINING), vectors=[VECTORS], **options)


def make_tagger(kind: str = "crf_extended", lexicon: Lexicon | None = None, **sizes: Any) -> Tagger:
    """In double precision and eval mode, all its parameters random, small enough that no sigmoid saturates."""
    generator = torch.Generator().manual_seed(1)
    tagger = tagger_class(kind)(Integerizer(TAGS), lexicon or make_lexicon(), **sizes).double().eval()
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return tagger


def make_batch(tagger: Tagger, lines: Sequence[str] = tuple(LINES), hidden: float = 0.0) -> Batch:
    corpus = IntegerizedCorpus(sentences(lines), tagger.lexicon.vocab, tagger.tagset)
    batch = corpus.batch(torch.arange(len(lines)))
    drawn = torch.rand(batch.ids.shape, generator=torch.Generator().manual_seed(5))
    return replace(batch, tags=torch.where(drawn < hidden, -1, batch.tags))


def close(actual: Tensor | float, expected: object, tolerance: float = 1e-9) -> None:
    actual = actual.detach().numpy() if isinstance(actual, Tensor) else actual
    expected = expected.detach().numpy() if isinstance(expected, Tensor) else np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


# --------------------------------------------------------------------------------------------------------- the formulas


def cat(*parts: Array) -> Array:
    return np.concatenate([[1.0], *parts])


def lstm(theta: Mapping[str, Array], inputs: Sequence[Array]) -> list[Array]:
    """All states, that before the first input included; the rows of the weights are gates i, f, g, o."""
    d = theta["weight_hh_l0"].shape[1]
    h, c = np.zeros(d), np.zeros(d)
    states = [h]
    for x in inputs:
        z = theta["weight_ih_l0"] @ x + theta["bias_ih_l0"] + theta["weight_hh_l0"] @ h + theta["bias_hh_l0"]
        i, f, g, o = (z[gate * d : (gate + 1) * d] for gate in range(4))
        c = sigma(f) * c + sigma(i) * np.tanh(g)
        h = sigma(o) * np.tanh(c)
        states.append(h)
    return states


def gru(theta: Mapping[str, Array], inputs: Sequence[Array]) -> list[Array]:
    """All states, that before the first input included; the rows of the weights are gates r, z, n."""
    d = theta["weight_hh_l0"].shape[1]
    h = np.zeros(d)
    states = [h]
    for x in inputs:
        a, b = theta["weight_ih_l0"] @ x + theta["bias_ih_l0"], theta["weight_hh_l0"] @ h + theta["bias_hh_l0"]
        r, z = sigma(a[:d] + b[:d]), sigma(a[d : 2 * d] + b[d : 2 * d])
        n = np.tanh(a[2 * d :] + r * b[2 * d :])
        h = (1 - z) * n + z * h
        states.append(h)
    return states


def gated_states(theta: Mapping[str, Array], cell: Any, inputs: Sequence[Array]) -> States:
    """Two networks over w_0 ... w_{n+1}, the second over them from the last to the first."""
    rightward, leftward = (
        cell({name.removeprefix(side): x for name, x in theta.items() if name.startswith(side)}, order)
        for side, order in (("rightward.", inputs), ("leftward.", inputs[::-1]))
    )
    last = len(inputs) - 1  # n + 1
    return {j: rightward[j + 1] for j in range(-1, last + 1)}, {j: leftward[last - j] for j in range(-1, last + 1)}


def window_states(theta: Mapping[str, Array], W: int, w: Sequence[Array]) -> States:
    """h_j = sigma(M [1; w_{j-W+1}; ...; w_j]) and h'_{j-1} = sigma(M' [1; w_j; ...; w_{j+W-1}])."""
    M, M_ = theta["M"], theta["M_"]
    nothing, last = np.zeros(len(w[0])), len(w) - 1
    word = lambda j: w[j] if 0 <= j <= last else nothing
    h, h_ = {-1: np.zeros(len(M))}, {last: np.zeros(len(M))}
    for j in range(last + 1):
        h[j] = sigma(M @ cat(*(word(j - W + 1 + o) for o in range(W))))
        h_[j - 1] = sigma(M_ @ cat(*(word(j + o) for o in range(W))))
    return h, h_


def states(tagger: Tagger, w: Sequence[Array]) -> States:
    """h_j and h'_j for j = -1 ... n + 1, of the top layer."""
    sizes, theta = tagger.sizes, numpy_parameters(tagger)
    layer = lambda number: {
        name.removeprefix(f"encoder.layers.{number}."): x for name, x in theta.items() if f"layers.{number}." in name
    }
    if sizes["potentials"] == "window":
        return window_states(layer(0), sizes["window"], w)
    gated = sizes["rnn"] != "sigmoid"
    inputs = [theta["encoder.embedding"].T @ x for x in w] if gated else list(w)
    for number in range(sizes["layers"]):
        if number:  # the two states below that have just read word j
            inputs = [np.concatenate([h[j], h_[j - 1]]) for j in range(len(w))]
        if gated:
            h, h_ = gated_states(layer(number), dict(lstm=lstm, gru=gru)[sizes["rnn"]], inputs)
        else:
            h, h_ = handout.prefixes(layer(number)["M"], inputs), handout.suffixes(layer(number)["M_"], inputs)
    return h, h_


def literal(tagger: Tagger, words: Sequence[str]) -> handout.Factors:
    """log phi_A(s, t, i) and log phi_B(t, i) of one sentence by the formula of its variant."""
    theta, w, sizes = numpy_parameters(tagger), vectors_of(tagger, words), tagger.sizes
    h, h_ = states(tagger, w)
    n, kind, BOS, EOS = len(words), sizes["potentials"], K, K + 1
    hand_made = np.concatenate([np.full(dim, block.kind != "pretrained") for block, dim in
                                zip(tagger.lexicon.blocks, tagger.lexicon.dims)])  # fmt: skip

    def f(i: int) -> Array:
        x = w[i] if sizes["rnn"] == "sigmoid" else theta["encoder.embedding"].T @ w[i]
        return cat(sigma(theta["U_B"] @ cat(h[i - 1], x, h_[i])))

    @functools.cache
    def log_phi_A(s: int, t: int, i: int) -> float:
        if sizes["unigram"] or (not sizes["boundary"] and (s == BOS or t == EOS)):
            return 0.0
        if kind == "shared":
            row = K * K + t if s == BOS else K * K + K + s if t == EOS else K * s + t
            return float(theta["theta_A"][row] @ f(i))
        tags = theta["tags"][s], theta["tags"][t]
        seen = {
            "inner": lambda: cat(h[i], *tags, h_[i - 2]),
            "emission_context": lambda: cat(*tags),
            "emission_mlp": lambda: cat(*tags),
        }.get(kind, lambda: cat(h[i - 2], *tags, h_[i]))()
        return float(theta["theta_A"] @ sigma(theta["U_A"] @ seen))

    @functools.cache
    def log_phi_B(t: int, i: int) -> float:
        outside = float(theta["W"][:, t] @ w[i][hand_made]) if sizes["outside"] else 0.0
        if kind in ("shared", "emission_mlp"):
            return float(theta["theta_B"][t] @ f(i)) + outside
        f_B = sigma(theta["U_B"] @ cat(h[i - 1], theta["tags"][t], w[i], h_[i]))
        return float(theta["theta_B"] @ f_B) + outside

    return handout.Factors(n, K, log_phi_A, log_phi_B)


def numpy_parameters(tagger: Tagger) -> dict[str, Array]:
    return {name: parameter.detach().numpy() for name, parameter in tagger.named_parameters()}


def vectors_of(tagger: Tagger, words: Sequence[str]) -> list[Array]:
    """Those of BOS, the words, EOS."""
    batch = make_batch(tagger, [" ".join(words)])
    return list(tagger.lexicon.embed(batch, ends=True)[0].double().detach().numpy())


@every_variant
def test_chain(variant: str) -> None:
    tagger = make_tagger(**VARIANTS[variant])
    batch = make_batch(tagger)
    chain = tagger(batch)
    for b, words in enumerate(batch.words):
        n, factors = len(words), literal(tagger, words)
        expected = factors.tables()
        close(chain.start[b], expected.start)
        close(chain.emit[b, :n], expected.emit)
        close(chain.stop[b], expected.stop)
        close(chain.trans.expand(n - 1, -1, -1) if chain.shared else chain.trans[b, : n - 1], expected.trans)
        close(tagger.logprob(batch)[b], factors.log_conditional(batch.tags[b, :n].tolist()))


@every_variant
def test_context(variant: str) -> None:
    """prefix[:, i-1] = h_{i-2} and suffix[:, i-1] = h'_i for the factors i = 1 ... n+1, as in crf_neural."""
    tagger = make_tagger(**VARIANTS[variant])
    batch = make_batch(tagger)
    prefix, suffix = tagger.context(tagger.lexicon.features(batch, ends=True), batch)
    assert prefix.shape == suffix.shape == (len(LINES), batch.ids.shape[1] + 1, tagger.d)
    for b, words in enumerate(batch.words):
        h, h_ = states(tagger, vectors_of(tagger, words))
        for i in range(1, len(words) + 2):
            close(prefix[b, i - 1], h[i - 2])
            close(suffix[b, i - 1], h_[i])


def test_transitions_are_shared_where_they_see_no_context() -> None:
    """The chain's fast kernels serve shared transitions only."""
    stationary = {"no context", "emission_context", "deep lstm", "emission_mlp", "emission_mlp, lstm"}
    stationary |= {variant for variant in VARIANTS if "unigram" in variant}
    for variant, sizes in VARIANTS.items():
        tagger = make_tagger(**sizes)
        assert tagger(make_batch(tagger)).shared == (variant in stationary), variant


def test_prefix_states_see_the_prefix_only() -> None:
    """Of one layer, h_j does not change with later words, nor h'_j with earlier ones; in deep encoders both do."""
    words = "the dog saw a cat".split()
    for rnn in ("sigmoid", "lstm", "gru"):
        for layers in (1, 2):
            tagger = make_tagger(**dict(SIZES, rnn=rnn, layers=layers))
            both = make_batch(tagger, [" ".join(words), " ".join([*words[:2], "barks", *words[3:]])])
            before, after = tagger.encoder(tagger.encoder.embed(tagger.lexicon.features(both, ends=True)), both.lengths)
            same_before, same_after = ((x[0] - x[1]).abs().amax(dim=1) < 1e-12 for x in (before, after))
            # word 3 was changed; column j + 1 is h_j
            first = [True] * 4 + [False] * 4 if layers == 1 else [True] + [False] * 7
            second = [False] * 4 + [True] * 4 if layers == 1 else [False] * 7 + [True]
            assert same_before.tolist() == first and same_after.tolist() == second


def test_window_states_see_their_window_only() -> None:
    tagger = make_tagger(**VARIANTS["window 2"])
    words = "the dog saw a cat barks".split()
    both = make_batch(tagger, [" ".join(words), " ".join([*words[:2], "sleeps", *words[3:]])])
    before, after = tagger.encoder(tagger.encoder.embed(tagger.lexicon.features(both, ends=True)), both.lengths)
    differs = lambda x: [j - 1 for j in range(x.shape[1]) if (x[0, j] - x[1, j]).abs().max() > 1e-12]
    assert differs(before) == [3, 4] and differs(after) == [1, 2]


@pytest.mark.parametrize("d", [0, 1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_default_is_crf_neural(d: int, dtype: torch.dtype) -> None:
    """Same parameters, same log-potentials, to the last bit; and the same seed draws the same parameters."""
    taggers = []
    for kind in (ConditionalRandomFieldNeural, ConditionalRandomFieldExtended):
        torch.manual_seed(2)
        taggers.append(kind(Integerizer(TAGS), make_lexicon(), rnn_dim=d).to(dtype).eval())
    neural, extended = taggers
    for name, parameter in neural.named_parameters():
        name = f"encoder.layers.0.{name}" if name in ("M", "M_") else name
        assert torch.equal(parameter, extended.get_parameter(name))
    assert neural.parameter_count() == extended.parameter_count()
    one, other = (tagger(make_batch(tagger)) for tagger in taggers)
    assert torch.equal(one.start, other.start) and torch.equal(one.stop, other.stop)
    assert torch.equal(one.emit, other.emit) and one.shared == other.shared == (d == 0)
    inside = one.mask[:, 1:] if d else slice(None)
    assert torch.equal(one.trans[inside], other.trans[inside])


# ---------------------------------------------------------------------------------------------------- gradients, memory


GRADIENTS = [
    "default",
    "inner",
    "emission_context",
    "emission_mlp, lstm",
    "window 2",
    "shared, outside, lstm",
    "deep gru, inner",
    "no boundary",
]


@pytest.mark.parametrize("variant", GRADIENTS)
def test_gradient(variant: str) -> None:
    """By finite differences, of every parameter; the regularizer covers them all."""
    tagger = make_tagger(lexicon=make_lexicon(hand_made=VARIANTS[variant].get("outside", False)), **VARIANTS[variant])
    batch = make_batch(tagger, ["the/D dog zzz/V", "barks/V"])
    parameters = tuple(tagger.parameters())
    assert torch.autograd.gradcheck(lambda *_: -tagger.logprob(batch).mean(), parameters, fast_mode=True)
    tagger.add_gradient(batch, 0.5, 10)
    loss = -tagger.logprob(batch).mean() + 0.5 * sum(p.square().sum() for p in parameters) / 10
    for parameter, expected in zip(parameters, torch.autograd.grad(loss, parameters)):
        close(parameter.grad, expected)


@pytest.mark.parametrize("potentials", ["full", "inner", "window", "shared"])
def test_memory_of_many_tags(potentials: str) -> None:
    """With 45 tags nothing is kept for the backward pass that is larger than the transitions themselves."""
    k, n, B = 45, 6, 4
    lexicon = Lexicon.from_corpus(sentences(TRAINING))
    tagger = ConditionalRandomFieldExtended(Integerizer(map(str, range(k))), lexicon, potentials=potentials)
    corpus = IntegerizedCorpus(sentences(["the/1 dog/2 saw/3 a/4 cat/5 barks/6"] * B), lexicon.vocab, tagger.tagset)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.untyped_storage().size() // 4) or x, id_):
        tagger.logprob(corpus.batch(torch.arange(B))).sum().backward()
    assert max(sizes) <= max(B * n * k * k, *(parameter.numel() for parameter in tagger.parameters()))


def id_(x: Tensor) -> Tensor:
    return x


# ---------------------------------------------------------------------------------------- padding, batches, model files


@every_variant
def test_padding_batch_and_order_do_not_matter(variant: str) -> None:
    tagger = make_tagger(**VARIANTS[variant])
    batch = make_batch(tagger, hidden=0.3)
    together = tagger.logprob(batch)
    beyond = torch.where(batch.mask, batch.ids, torch.tensor([10**9, -7, 3, 0, 1]))
    close(tagger.logprob(replace(batch, ids=beyond)), together)
    wide = replace(batch, ids=torch.nn.functional.pad(batch.ids, (0, 2), value=10**6),
                   tags=torch.nn.functional.pad(batch.tags, (0, 2), value=-1))  # fmt: skip
    close(tagger.logprob(wide), together)
    for b, line in enumerate(LINES):
        alone = replace(make_batch(tagger, [line]), tags=batch.tags[b : b + 1, : len(batch.words[b])])
        close(tagger.logprob(alone), together[b : b + 1])
    order = [3, 0, 4, 2, 1]
    shuffled = make_batch(tagger, [LINES[b] for b in order])
    close(tagger.logprob(replace(shuffled, tags=batch.tags[order])), together[order])


@pytest.mark.parametrize("variant", [*VARIANTS, "awesome"])
def test_save_and_load(variant: str, tmp_path: Path) -> None:
    kind = "awesome" if variant == "awesome" else "crf_extended"
    tagger = make_tagger(kind, **VARIANTS.get(variant, VARIANTS["deep lstm"])).float()
    tagger.save(tmp_path / "model")
    loaded = Tagger.load(tmp_path / "model")
    assert type(loaded) is type(tagger) and loaded.kind == kind and loaded.sizes == tagger.sizes
    batch = make_batch(loaded, hidden=0.3)
    assert torch.equal(tagger.logprob(make_batch(tagger, hidden=0.3)), loaded.logprob(batch))
    assert torch.equal(tagger(make_batch(tagger)).argmax, loaded(batch).argmax)


def test_awesome_is_extended() -> None:
    assert Awesome.__mro__[1] is ConditionalRandomFieldExtended
    one, other = make_tagger("awesome", **SIZES), make_tagger(**SIZES)
    close(one.logprob(make_batch(one)), other.logprob(make_batch(other)))


# ------------------------------------------------------------------------------------------------------- single options


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if "unigram" in variant])
def test_unigram_is_a_softmax_for_each_token(variant: str) -> None:
    tagger = make_tagger(**VARIANTS[variant])
    batch = make_batch(tagger)
    chain = tagger(batch)
    p = chain.emit.log_softmax(dim=2)
    for b, words in enumerate(batch.words):
        gold = sum(p[b, i, batch.tags[b, i]].item() for i in range(len(words)))
        close(tagger.logprob(batch)[b], gold)
    names = {name for name, _ in tagger.named_parameters()}
    assert ("tags" in names) == (variant not in ("shared, unigram", "emission_mlp, unigram"))
    assert not names & {"U_A", "theta_A"} and {"U_B", "theta_B"} <= names


def test_outside_takes_the_hand_made_blocks() -> None:
    """One-hot words, problex and affixes; not the pretrained vectors. A new model starts with W = 0."""
    torch.manual_seed(0)
    with_it = ConditionalRandomFieldExtended(Integerizer(TAGS), make_lexicon(), **dict(SIZES, outside=True)).eval()
    torch.manual_seed(0)
    without = ConditionalRandomFieldExtended(Integerizer(TAGS), make_lexicon(), **SIZES).eval()
    assert with_it.W.shape == (with_it.lexicon.dim - 4, K)
    assert torch.equal(with_it.logprob(make_batch(with_it)), without.logprob(make_batch(without)))
    with_it.add_gradient(make_batch(with_it), 0.0, 5)
    assert with_it.W.grad.abs().sum() > 0


def test_forget_gates_begin_open() -> None:
    encoder = Encoder("lstm", 5, 3, layers=2)
    for layer in encoder.layers:
        for network in (layer.rightward, layer.leftward):
            bias = (network.bias_ih_l0 + network.bias_hh_l0).detach()
            assert (bias[3:6] == 1).all() and not (bias[:3] == 1).any()


def test_dropout_is_for_training() -> None:
    tagger = make_tagger(**VARIANTS["dropout"])
    without = make_tagger(**dict(VARIANTS["dropout"], dropout=0.0))
    batch, other = make_batch(tagger), make_batch(without)
    close(tagger.logprob(batch), without.logprob(other))
    tagger.train(), without.train()
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(tagger.logprob(batch).detach())
    assert torch.equal(draws[0], draws[1]) and not torch.allclose(draws[0], draws[2])
    tagger.add_gradient(batch, 0.0, 5)
    assert all(parameter.grad.isfinite().all() for parameter in tagger.parameters())


def test_what_dropout_drops() -> None:
    """Each number in P w is 0 with probability p, else 1 / (1 - p) times what it was; word features stay."""
    p = 0.25
    tagger = make_tagger(**dict(VARIANTS["emission_mlp, lstm"], dropout=p))
    words = tagger.lexicon.features(make_batch(tagger, LINES * 40), ends=True)
    whole = tagger.encoder.embed(words)
    close(whole, words.dense() @ tagger.encoder.embedding)
    kept = tagger.train().encoder.embed(words) / whole
    assert all(ratio < 1e-9 or abs(ratio - 1 / (1 - p)) < 1e-9 for ratio in kept.unique().tolist())
    assert abs((kept == 0).double().mean() - p) < 0.05
    plain = make_tagger(**dict(SIZES, dropout=p)).train()
    words = plain.lexicon.features(make_batch(plain), ends=True)
    assert plain.encoder.embed(words) is words


@pytest.mark.parametrize("sizes, names", [
    (dict(potentials="other"), ["potentials", "other"]),
    (dict(rnn="tanh"), ["rnn", "tanh"]),
    (dict(window=0, potentials="window"), ["window 0"]),
    (dict(layers=0), ["layers 0"]),
    (dict(layers=10**9), ["layers"]),
    (dict(dropout=1.0), ["dropout 1.0"]),
    (dict(dropout=-0.1), ["dropout -0.1"]),
    (dict(window=2), ["window 2", "potentials full"]),
    (dict(rnn="lstm", potentials="window"), ["rnn lstm", "potentials window"]),
    (dict(layers=2, potentials="window"), ["layers 2", "potentials window"]),
    (dict(rnn="gru", rnn_dim=0), ["rnn gru", "rnn_dim 0"]),
    (dict(layers=2, rnn_dim=0), ["layers 2", "rnn_dim 0"]),
    (dict(potentials="inner", rnn_dim=0), ["potentials inner", "rnn_dim 0"]),
    (dict(potentials="emission_context", rnn_dim=0), ["potentials emission_context", "rnn_dim 0"]),
    (dict(potentials="window", rnn_dim=0), ["potentials window", "rnn_dim 0"]),
    (dict(unigram=True, potentials="inner"), ["unigram", "potentials inner"]),
    (dict(unigram=True, potentials="emission_context"), ["unigram", "potentials emission_context"]),
    (dict(unigram=True, boundary=False), ["unigram", "boundary"]),
    (dict(unigram=True, transition_features=8), ["unigram", "transition_features 8"]),
    (dict(potentials="shared", transition_features=8), ["potentials shared", "transition_features 8"]),
    (dict(potentials="shared", tag_dim=8), ["potentials shared", "tag_dim 8"]),
    (dict(potentials="emission_mlp", rnn_dim=0), ["potentials emission_mlp", "rnn_dim 0"]),
    (dict(unigram=True, potentials="emission_mlp", tag_dim=8), ["unigram", "tag_dim 8"]),
])  # fmt: skip
def test_refused_sizes(sizes: dict, names: list[str]) -> None:
    with pytest.raises(ValueError) as raised:
        ConditionalRandomFieldExtended(Integerizer(TAGS), make_lexicon(), **sizes)
    assert all(name in str(raised.value) for name in names) and "\n" not in str(raised.value)


def test_outside_without_hand_made_features() -> None:
    with pytest.raises(ValueError, match="outside .* one-hot words, problex or affixes"):
        ConditionalRandomFieldExtended(Integerizer(TAGS), make_lexicon(hand_made=False), outside=True)


@pytest.mark.parametrize(
    "variant", ["lstm", "deep gru, inner", "window 2", "shared", "emission_context", "emission_mlp"]
)
def test_it_learns_the_training_text(variant: str) -> None:
    torch.manual_seed(0)
    sizes = {**VARIANTS[variant], "rnn_dim": 8, "emission_features": 8}
    tagger = ConditionalRandomFieldExtended(Integerizer(TAGS), make_lexicon(), **sizes)
    batch = make_batch(tagger, TRAINING)
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=0.03, weight_decay=0.0)
    for _ in range(120):
        optimizer.zero_grad()
        tagger.add_gradient(batch, 0.0, 4)
        optimizer.step()
    tagger.eval()
    assert torch.equal(tagger(batch).argmax, batch.tags)
    assert -tagger.logprob(batch).mean() < 0.3
