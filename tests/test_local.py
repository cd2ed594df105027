"""Networks against their formulas (literal_networks.py), in float64; the taggers made of them; their product of
softmaxes against the chain whose transitions are 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import chain as chain_module
import literal_networks as literal
from chain import ImpossibleError, LinearChain
from characters import Characters
from corpus import Batch, InputError, IntegerizedCorpus, parse_sentence
from decoders import DECODERS, decoder
from integerize import Integerizer
from lexicon import Lexicon
from local import IndependentTags
from networks import BLSTM, CNN, FEEDS, NETWORKS, PLUS_DROPOUT, Network, Seq2Seq
from tagger import Tagger, read_tensors, tagger_class, write_tensors
from word_features import Pretrained
from word_vectors import WordVectors

TAGS = ["D", "N", "V"]
LINES = ["the/D Dog/N saw/V Paris/N today/N", "barks/V", "zzz/N", "The/D cat/N", "a/D dogs/N bark/V"]
TRAINING = ["the/D dog/N barks/V", "The/D dog/N saw/V a/D cat/N", "dogs/N bark/V", "a/D cat/N sleeps/V"]
VECTORS = WordVectors(
    ["OOL", "the", "BOS", "dog", "saw", "paris", "EOS"], torch.randn(7, 4, generator=torch.Generator().manual_seed(3))
)
LOCAL = ["local_cnn", "local_blstm", "local_seq2seq"]
E, H, K = 4, 3, 5
MADE: dict[str, Callable[[], Network]] = {
    "cnn": lambda: CNN(E, H, K),
    "cnn, 2 on each side": lambda: CNN(E, H, K, window=2),
    "cnn, more than there are": lambda: CNN(E, H, K, window=7),
    "blstm": lambda: BLSTM(E, H, K),
    "deep blstm": lambda: BLSTM(E, H, K, layers=3),
    "seq2seq": lambda: Seq2Seq(E, H, K),
    "deep seq2seq": lambda: Seq2Seq(E, H, K, layers=2),
    "soft seq2seq": lambda: Seq2Seq(E, H, K, feed="soft"),
}
FORMULAS = {CNN: literal.cnn, BLSTM: literal.blstm, Seq2Seq: literal.seq2seq}
every_network = pytest.mark.parametrize("name", MADE)
every_local = pytest.mark.parametrize("kind", LOCAL)


def make_network(name: str, scale: float = 0.7) -> Network:
    """In double precision, its parameters random, and so large that seq2seq's own labels vary."""
    network = MADE[name]().double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


def sentences_of(*lengths: int, seed: int = 2) -> tuple[Tensor, Tensor]:
    """Features of random words, and the lengths; what is beyond a sentence's end is large."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randn(len(lengths), max(lengths), E, generator=generator, dtype=torch.float64)
    for number, length in enumerate(lengths):
        words[number, length:] = 1e3
    return words, torch.tensor(lengths)


def of_network(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy() for name, parameter in network.named_parameters()}


def make_lexicon(plus: bool = False) -> Lexicon:
    training = [parse_sentence(line, "test") for line in TRAINING * 3]
    return Lexicon.from_corpus(training, [VECTORS], one_hot=False, characters=plus, finetune=plus)


def make_tagger(kind: str, tags: Sequence[str] = TAGS, **sizes: Any) -> Tagger:
    torch.manual_seed(0)
    lexicon = make_lexicon(sizes.get("plus", False))
    return tagger_class(kind)(Integerizer(tags), lexicon, **{"hidden": 3, **sizes}).double().eval()


def make_batch(tagger: Tagger, lines: Sequence[str] = tuple(LINES)) -> Batch:
    corpus = IntegerizedCorpus([parse_sentence(line, "test") for line in lines], tagger.lexicon.vocab, tagger.tagset)
    return corpus.batch(torch.arange(len(lines)))


def close(actual: Tensor, expected: object, tolerance: float = 1e-10) -> None:
    expected = expected.detach().numpy() if isinstance(expected, Tensor) else np.asarray(expected)
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------------------------------------- networks


@every_network
def test_as_the_formula_says(name: str) -> None:
    network = make_network(name)
    words, lengths = sentences_of(6, 1, 3, 2)
    logits = network(words, lengths)
    assert logits.shape == (4, 6, K)
    for number, n in enumerate(lengths.tolist()):
        more = dict(soft=True) if name.startswith("soft") else {}
        close(logits[number, :n], FORMULAS[type(network)](of_network(network), list(words[number, :n].numpy()), **more))


@pytest.mark.parametrize("name", ["seq2seq", "soft seq2seq"])
def test_decoder_reads_gold_labels_and_its_own_in_turn(name: str) -> None:
    network, soft = make_network(name), name.startswith("soft")
    words, lengths = sentences_of(6, 1, 3)
    fed = torch.randint(-1, K, (3, 6), generator=torch.Generator().manual_seed(0))
    assert 0 < (fed < 0).sum() < fed.numel()
    logits = network(words, lengths, fed)
    for number, n in enumerate(lengths.tolist()):
        x = list(words[number, :n].numpy())
        close(logits[number, :n], literal.seq2seq(of_network(network), x, fed[number].tolist(), soft))
    assert not torch.equal(logits, network(words, lengths))


def test_soft_feed_passes_gradients_and_the_others_do_not() -> None:
    """Of the last logits by what makes the label before, the encoder's output layer aside: through the decoder only."""
    words, lengths = sentences_of(2)
    for name, passes in (("seq2seq", False), ("soft seq2seq", True)):
        network = make_network(name)
        network.output = nn.Identity()
        leaf = torch.randn(1, 2, K, dtype=torch.float64, requires_grad=True)
        network.read = lambda words, lengths, leaf=leaf: leaf
        logits = network(words, lengths)
        (slope,) = torch.autograd.grad(logits[0, 1].square().sum(), leaf)
        assert bool((slope[0, 0] != 0).any()) == passes and (slope[0, 1] != 0).any()


def test_decoder_reads_what_it_is_fed() -> None:
    network = make_network("seq2seq")
    words, lengths = sentences_of(6, 1, 3)
    fed = torch.randint(K, (3, 6), generator=torch.Generator().manual_seed(0))
    logits = network(words, lengths, fed.masked_fill(torch.arange(6) >= lengths[:, None], -1))
    for number, n in enumerate(lengths.tolist()):
        expected = literal.seq2seq(of_network(network), list(words[number, :n].numpy()), fed[number].tolist())
        close(logits[number, :n], expected)
    own = network(words, lengths)
    assert len(own[0].argmax(dim=1).unique()) > 1 and not torch.equal(logits[0], own[0])
    close(network(words, lengths, own.argmax(dim=2)), own)


@every_network
def test_padding_batch_and_order_do_not_matter(name: str) -> None:
    network = make_network(name)
    words, lengths = sentences_of(5, 1, 3, 2, 5)
    logits = network(words, lengths)
    for number, n in enumerate(lengths.tolist()):
        close(logits[number, :n], network(words[number : number + 1, :n], lengths[number : number + 1])[0])
    order = torch.tensor([3, 0, 4, 2, 1])
    wider = torch.cat([words[order], torch.full((5, 4, E), -1e3, dtype=torch.float64)], dim=1)
    again = network(wider, lengths[order])
    for place, number in enumerate(order.tolist()):
        close(again[place, : lengths[number]], logits[number, : lengths[number]])


@every_network
def test_gradient(name: str) -> None:
    """By words and by every parameter; none of what is beyond the ends."""
    network = make_network(name, scale=0.4)
    words, lengths = sentences_of(4, 1, 3)
    words[words == 1e3] = 0.5
    inside = torch.arange(4) < lengths[:, None]
    names = [name for name, _ in network.named_parameters()]

    def logits(words: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(network, dict(zip(names, parameters)), (words, lengths))[inside]

    values = [words, *(parameter.detach() for parameter in network.parameters())]
    values = [value.clone().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(logits, values, fast_mode=True)
    of_words, *of_parameters = torch.autograd.grad(logits(*values).square().sum(), values)
    assert (of_words[~inside] == 0).all() and (of_words[inside] != 0).all()
    assert all((gradient != 0).any() for gradient in of_parameters)


def test_names_of_networks() -> None:
    for name, network in NETWORKS.items():
        assert issubclass(tagger_class(f"local_{name}").network_class, network)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("local_cnn", dict(hidden=0)), ("local_cnn", dict(window=0)), ("local_blstm", dict(hidden=-1)),
     ("local_blstm", dict(layers=0)), ("local_seq2seq", dict(layers=17)), ("local_seq2seq", dict(feed="gold"))],
)  # fmt: skip
def test_sizes_out_of_range(kind: str, sizes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="out of range|is none of argmax, scheduled, soft"):
        make_tagger(kind, **sizes)


# ---------------------------------------------------------------------------------------------------------- beam search


def test_wide_beam_finds_the_best_labelling() -> None:
    """With room for all beginnings the search is exhaustive."""
    network = make_network("seq2seq")
    words, lengths = sentences_of(3, 1, 2)
    tags, log_p = network.beam(words, lengths, K**3)
    for number, n in enumerate(lengths.tolist()):
        score = {}
        for labels in itertools.product(range(K), repeat=n):
            logits = literal.seq2seq(of_network(network), list(words[number, :n].numpy()), labels)
            score[labels] = literal.log_softmax(logits)[range(n), labels].sum()
        assert tuple(tags[number, :n].tolist()) == max(score, key=score.get)
        assert (tags[number, n:] == -1).all()
        close(log_p[number], max(score.values()))


@pytest.mark.parametrize("width", [1, 2, 4, 9])
def test_beam_is_beam_search(width: int) -> None:
    """A sentence at a time, with lists."""
    network = make_network("seq2seq")
    words, lengths = sentences_of(5, 1, 3)
    tags, log_p = network.beam(words, lengths, width)
    for number, n in enumerate(lengths.tolist()):
        x = list(words[number, :n].numpy())
        beam: list[tuple[float, list[int]]] = [(0.0, [])]
        for t in range(n):
            longer = []
            for score, labels in beam:
                logits = literal.seq2seq(of_network(network), x, labels + [0] * (n - t))[t]
                longer += [(score + p, labels + [label]) for label, p in enumerate(literal.log_softmax(logits))]
            beam = sorted(longer, reverse=True)[:width]
        assert tags[number].tolist() == beam[0][1] + [-1] * (5 - n)
        close(log_p[number], beam[0][0])


def test_narrow_beam_is_greedy() -> None:
    tagger = make_tagger("local_seq2seq")
    batch = make_batch(tagger)
    tags, log_q = tagger.beam(batch, 1)
    assert torch.equal(tags, tagger(batch).argmax)
    close(log_q, tagger.logprob(replace(batch, tags=tags)))  # the labels read are those that are scored
    assert (tagger.beam(batch, 3)[1] >= log_q - 1e-12).all()


def test_no_beam_where_no_labels_are_read() -> None:
    tagger = make_tagger("local_seq2seq", feed="soft")
    with pytest.raises(ValueError, match="reads no labels"):
        tagger.beam(make_batch(tagger), 2)


# ------------------------------------------------------------------------------------------------- product of softmaxes


@st.composite
def products(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Log-potentials of single tags, some of them -inf, and lengths."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    k, seed = draw(st.integers(1, 4)), draw(st.integers(0, 10**6))
    generator = torch.Generator().manual_seed(seed)
    emit = draw(st.sampled_from([0.1, 3.0, 500.0])) * torch.randn(
        len(lengths), max(lengths), k, generator=generator, dtype=torch.float64
    )
    forbidden = torch.rand(emit.shape, generator=generator) < draw(st.sampled_from([0.0, 0.4]))
    forbidden.scatter_(2, torch.randint(k, (*emit.shape[:2], 1), generator=generator), False)
    emit = emit.masked_fill(forbidden, -torch.inf)
    emit[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = torch.nan
    return emit, torch.tensor(lengths)


def both(emit: Tensor, lengths: Tensor) -> tuple[IndependentTags, LinearChain]:
    B, _, k = emit.shape
    ends, trans = torch.zeros(B, k, dtype=emit.dtype), torch.zeros(k, k, dtype=emit.dtype)
    return IndependentTags(emit, lengths), LinearChain(ends, emit, trans, ends, lengths)


@pytest.fixture(scope="module", autouse=True)
def plain_chain() -> Iterator[None]:
    """The chain that is compared with is the one in log space."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_module, "chain_fast", None)
        yield


@settings(max_examples=60)
@given(products())
def test_is_the_chain_without_transitions(product: tuple[Tensor, Tensor]) -> None:
    product_, chain = both(*product)
    for name in ("log_partition", "marginals", "argmax", "entropy", "transition_counts", "pair_marginals"):
        close(getattr(product_, name), getattr(chain, name))
    tags = chain.argmax
    hidden = torch.where(torch.arange(tags.shape[1]) % 2 == 0, -1, tags)
    close(product_.score(tags), chain.score(tags))
    close(product_.score(hidden, partial=True), chain.score(hidden, partial=True))
    close(product_.log_prob(hidden, partial=True), chain.log_prob(hidden, partial=True))
    close(product_.energy(chain.marginals), chain.energy(chain.marginals))
    close(product_.kbest(3).scores, chain.kbest(3).scores)
    assert isinstance(product_.clamped(hidden), IndependentTags) and isinstance(product_.detach(), IndependentTags)


def test_gradients_are_those_of_the_chain() -> None:
    emit = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    emit[0, 0, 1] = -torch.inf
    lengths, found = torch.tensor([4, 1, 2]), []
    for number in (0, 1):
        leaf = emit.clone().requires_grad_()
        chain = both(leaf, lengths)[number]
        (chain.log_partition * torch.arange(1, 4)).sum().backward()
        found.append(leaf.grad)
    close(*found)


def test_impossible_sentences() -> None:
    emit = torch.zeros(3, 2, 2, dtype=torch.float64)
    emit[1, 1] = -torch.inf
    leaf = emit.clone().requires_grad_()
    product = IndependentTags(leaf, torch.tensor([2, 2, 1]))
    assert product.log_partition.isinf().tolist() == [False, True, False]
    product.log_partition[[0, 2]].sum().backward()
    assert leaf.grad.isfinite().all()
    for name in ("argmax", "marginals", "entropy"):
        with pytest.raises(ImpossibleError, match="sentence 1 "):
            getattr(product, name)
    assert IndependentTags(emit, torch.tensor([2, 1, 1])).argmax[1].tolist() == [0, -1]  # it is in the padding


# -------------------------------------------------------------------------------------------------------------- taggers


@every_local
def test_logprob_is_the_sum_of_the_cross_entropies(kind: str) -> None:
    tagger = make_tagger(kind)
    batch = make_batch(tagger)
    words, formula = tagger.lexicon.embed(batch).detach().numpy(), FORMULAS[type(tagger.network)]
    for number, length in enumerate(batch.lengths.tolist()):
        logits = formula(of_network(tagger.network), list(words[number, :length]))
        expected = literal.log_softmax(logits)[range(length), batch.tags[number, :length].tolist()].sum()
        close(tagger.logprob(batch)[number], expected)
        assert tagger(batch).argmax[number, :length].tolist() == logits.argmax(axis=1).tolist()


@every_local
def test_every_decoder_finds_the_same(kind: str) -> None:
    tagger = make_tagger(kind)
    batch = make_batch(tagger)
    for name in DECODERS:
        assert torch.equal(decoder(name)(tagger, batch, None).tags, tagger(batch).argmax)


@every_local
@pytest.mark.parametrize("plus", [False, True])
def test_loss_and_gradient(kind: str, plus: bool) -> None:
    """The slope of the loss, regularizer and all, along a random direction; and what is trained."""
    tagger = make_tagger(kind, plus=plus)
    batch = make_batch(tagger)
    before = tagger.add_gradient(batch, reg=0.3, N=7)
    close(-tagger.logprob(batch).mean() + 0.3 / 7 * tagger.squared_norm(), before)
    parameters = list(tagger.parameters())
    directions = [torch.randn_like(parameter) for parameter in parameters]
    slope = sum((direction * parameter.grad).sum() for direction, parameter in zip(directions, parameters))
    losses = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions):
                parameter.add_(direction, alpha=step)
            losses.append((-tagger.logprob(batch).mean() + 0.3 / 7 * tagger.squared_norm()).item())
            for parameter, direction in zip(parameters, directions):
                parameter.sub_(direction, alpha=step)
    np.testing.assert_allclose((losses[0] - losses[1]) / 2e-5, slope.item(), rtol=1e-6)
    (vectors,) = (block for block in tagger.lexicon.blocks if isinstance(block, Pretrained))
    assert (vectors.delta is not None) == plus and not vectors.matrix.requires_grad


def test_gold_labels_are_read_in_training_alone() -> None:
    """All, those that are drawn, or none; a word without a gold tag is followed by the network's own label."""
    tagger = make_tagger("local_seq2seq", feed="scheduled")
    with torch.no_grad():
        for parameter in tagger.network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    batch = make_batch(tagger, ["the/D Dog/V saw Paris/N today/N", "barks/V dog", "zzz/N the/D dog/N"])
    words = tagger.lexicon.embed(batch).detach().numpy()
    for share, training in itertools.product((0.0, 0.5, 1.0), (False, True)):
        tagger.gold_share = share
        tagger.network.train(training), setattr(tagger, "training", training)  # the lexicon hides no words
        torch.manual_seed(4)
        logits = tagger.logits(batch)
        torch.manual_seed(4)
        drawn = torch.rand(batch.tags.shape) < (share if training else 0.0)
        fed = torch.where(drawn, batch.tags, -1)
        for number, n in enumerate(batch.lengths.tolist()):
            expected = literal.seq2seq(of_network(tagger.network), list(words[number, :n]), fed[number].tolist())
            close(logits[number, :n], expected)
    assert 0 < drawn.sum()


@pytest.mark.parametrize("feed", FEEDS)
def test_feed_is_saved(feed: str, tmp_path: Path) -> None:
    tagger = make_tagger("local_seq2seq", feed=feed)
    tagger.save(tmp_path / "m.model")
    loaded = Tagger.load(tmp_path / "m.model").double()
    assert loaded.sizes["feed"] == feed and loaded.network.soft == (feed == "soft")
    assert torch.equal(loaded.logits(make_batch(loaded)), tagger.logits(make_batch(tagger)))
    header, tensors = read_tensors(tmp_path / "m.model")
    del header["sizes"]["feed"]  # as files were before there was a choice
    write_tensors(tmp_path / "m.model", tensors, header)
    assert Tagger.load(tmp_path / "m.model").network.soft is False


@every_local
@pytest.mark.parametrize("plus", [False, True])
def test_saved_and_loaded(kind: str, plus: bool, tmp_path: Path) -> None:
    more = dict(window=2) if kind == "local_cnn" else dict(layers=2)
    tagger = make_tagger(kind, plus=plus, **more)
    tagger.save(tmp_path / "m.model")
    loaded = Tagger.load(tmp_path / "m.model").double()
    more |= dict(feed="argmax") if kind == "local_seq2seq" else {}
    assert (type(loaded), loaded.sizes) == (type(tagger), dict(hidden=3, plus=plus, **more))
    assert torch.equal(loaded.logits(make_batch(loaded)), tagger.logits(make_batch(tagger)))
    assert torch.equal(loaded(make_batch(loaded)).argmax, tagger(make_batch(tagger)).argmax)


def test_claims_of_a_model_file(tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    make_tagger("local_blstm").save(path)
    header, tensors = read_tensors(path)
    for claims in (dict(hidden=4), dict(layers=10**9), dict(hidden=-1), dict(hidden="3"), dict(plus=True), dict(H=1)):
        write_tensors(path, tensors, {**header, "sizes": {**header["sizes"], **claims}})
        with pytest.raises(InputError, match="not a model file"):
            Tagger.load(path)


@every_local
def test_tiny_corpus_is_learned(kind: str) -> None:
    """The tag of `it` is the one of the word before, which a window of one word on each side tells too."""
    lines = ["a/D it/D dog/N it/N", "dog/N it/N a/D it/D", "a/D dog/N it/N", "dog/N a/D it/D"]
    sentences = [parse_sentence(line, "test") for line in lines * 2]
    lexicon = Lexicon.from_corpus(sentences)
    torch.manual_seed(0)
    tagger = tagger_class(kind)(Integerizer(["D", "N"]), lexicon, hidden=8)
    corpus = IntegerizedCorpus(sentences, lexicon.vocab, tagger.tagset, training=True)
    batch = corpus.batch(torch.arange(len(lines)))
    optimizer = torch.optim.Adam(tagger.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = tagger.add_gradient(batch, 0.0, len(sentences))
        optimizer.step()
    assert loss < 0.1
    assert torch.equal(tagger.eval()(batch).argmax, batch.tags)


@every_local
@pytest.mark.parametrize("k", [1, 2, 2000])
def test_few_and_many_labels(kind: str, k: int) -> None:
    tags = [f"t{number}" for number in range(k)]
    tagger = make_tagger(kind, tags)
    batch = make_batch(tagger, [f"the/t0 dog/t{k - 1} saw/t0", "barks/t0"])
    chain = tagger(batch)
    assert chain.argmax.shape == (2, 3) and chain.log_partition.isfinite().all()
    assert tagger.add_gradient(batch, 0.0, 2) >= 0
    assert all(parameter.grad.isfinite().all() for parameter in tagger.network.parameters())


# ----------------------------------------------------------------------------------------------------------------- plus


@every_local
def test_dropout_at_three_places(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In training, on the embeddings of characters, on what the network reads and on its states; and never else."""
    tagger, plain = make_tagger(kind, plus=True), make_tagger(kind)
    batch, seen, dropout = make_batch(tagger), [], nn.functional.dropout

    def spy(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
        if training and p:
            seen.append((tuple(x.shape), p))
        return dropout(x, p, training)

    monkeypatch.setattr(nn.functional, "dropout", spy)
    (characters,) = (block for block in tagger.lexicon.blocks if isinstance(block, Characters))
    before = tagger.logits(batch)
    assert torch.equal(tagger.logits(batch), before) and not seen
    plain.train().logits(make_batch(plain))
    assert not seen
    tagger.train()
    assert not torch.equal(tagger.logits(batch), tagger.logits(batch))
    B, n, states = len(batch), batch.ids.shape[1], 2 * 3
    shapes = [tuple(characters.embedding.shape), (B, n, tagger.lexicon.dim), (B, n, states)]
    assert seen == 2 * [(shape, PLUS_DROPOUT) for shape in shapes]


def test_plus_needs_its_features() -> None:
    training = [parse_sentence(line, "test") for line in TRAINING]
    without_characters = Lexicon.from_corpus(training, [VECTORS], finetune=True)
    fixed = Lexicon.from_corpus(training, [VECTORS], characters=True)
    for lexicon, what in [(without_characters, "characters"), (fixed, "fine-tuned"), (make_lexicon(), "fine-tuned")]:
        with pytest.raises(ValueError, match=f"plus needs .*{what}"):
            tagger_class("local_cnn")(Integerizer(TAGS), lexicon, plus=True)
