"""Variants of the stationary CRF: no tag bigrams, tag embeddings of low rank, weights that begin at an HMM's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import handout
from corpus import Batch, IntegerizedCorpus, parse_sentence
from crf import ConditionalRandomField
from crf_backprop import ConditionalRandomFieldBackprop
from crf_neural import ConditionalRandomFieldNeural
from hmm import Counts, HiddenMarkovModel
from hmm_neural import HiddenMarkovModelNeural
from integerize import Integerizer
from lexicon import Lexicon
from tagger import Tagger, tagger_class
from word_vectors import WordVectors

TAGS = ["D", "N", "V"]
TRAINING = ["the/D dog/N barks/V", "The/D dog/N saw/V a/D cat/N", "dogs/N bark/V", "a/D cat/N sleeps/V", "saw/N"]
LINES = ["the/D Dog/N saw/V zzz/N", "barks/V", "zzz/N", "The/D cat/N", "a/D cat/N barks/V bark/N bark/V"]
RANKS = [(1, "symmetric"), (2, "symmetric"), (1, "asymmetric"), (2, "asymmetric")]


def sentences(lines: Sequence[str]) -> list:
    return [parse_sentence(line, "test") for line in lines]


def make_lexicon(pretrained: bool = False) -> Lexicon:
    vectors = [WordVectors(["OOL", "the", "BOS", "dog", "EOS"], torch.randn(5, 4))] if pretrained else []
    return Lexicon.from_corpus(sentences(TRAINING), vectors=vectors, one_hot=True)


def make_tagger(kind: str, seed: int = 0, lexicon: Lexicon | None = None, **sizes: Any) -> Tagger:
    """In double precision and eval mode, all its parameters random."""
    generator = torch.Generator().manual_seed(seed)
    tagger = tagger_class(kind)(Integerizer(TAGS), lexicon or make_lexicon(), **sizes).double().eval()
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
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


# -------------------------------------------------------------------------------------------------------------- unigram


@pytest.mark.parametrize("kind", ["crf", "crf_backprop"])
def test_unigram_is_a_softmax_for_each_token(kind: str) -> None:
    tagger = make_tagger(kind, unigram=True)
    batch = make_batch(tagger)
    chain = tagger(batch)
    assert chain.shared and not chain.trans.any() and not chain.start.any() and not chain.stop.any()
    p = tagger.emission_weights(tagger.lexicon.features(batch)).softmax(dim=2)
    for b, (words, tags) in enumerate(zip(batch.words, batch.tags)):
        close(tagger.logprob(batch)[b], sum(p[b, i, tags[i]].log().item() for i in range(len(words))))
        close(chain.marginals[b, : len(words)], p[b, : len(words)])
        assert chain.argmax[b, : len(words)].tolist() == p[b, : len(words)].argmax(dim=1).tolist()


@pytest.mark.parametrize("kind", ["crf", "crf_backprop"])
def test_unigram_has_no_bigram_weights_and_gets_none(kind: str) -> None:
    tagger = make_tagger(kind, unigram=True)
    assert [name for name, _ in tagger.named_parameters()] == ["emission"] == list(tagger.state_dict())
    assert tagger.parameter_count() == tagger.lexicon.dim * len(TAGS)
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=0.1)
    before = tagger.emission.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        tagger.add_gradient(make_batch(tagger), 0.5, 5)
        optimizer.step()
    chain = tagger(make_batch(tagger))
    assert not chain.trans.any() and not chain.start.any() and not chain.stop.any()
    assert not torch.equal(before, tagger.emission)


@pytest.mark.parametrize("hidden", [0.0, 0.4])
def test_unigram_gradients_agree(hidden: float) -> None:
    """By hand and by back-propagation, the regularizer over the same parameters."""
    taggers = make_tagger("crf", unigram=True), make_tagger("crf_backprop", unigram=True)
    losses = [tagger.add_gradient(make_batch(tagger, hidden=hidden), 0.7, 9) for tagger in taggers]
    close(losses[0], losses[1])
    close(taggers[0].emission.grad, taggers[1].emission.grad)
    assert taggers[0].emission.grad.abs().max() > 0.01


# ------------------------------------------------------------------------------------------------------------- low rank


def embeddings(tagger: Tagger) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """theta_s of the first tag of a bigram (BOS is k) and theta_t of the second (EOS is k + 1)."""
    k, first = len(TAGS), tagger.Theta_A.detach().numpy()
    before = {s: first[s] for s in range(k + 1)}
    if tagger.sizes["tag_form"] == "symmetric":
        return before, {t: first[t] for t in (*range(k), k + 1)}
    second = tagger.Theta_A_.detach().numpy()
    return before, {**{t: second[t] for t in range(k)}, k + 1: second[k]}


@pytest.mark.parametrize("rank, form", RANKS)
def test_low_rank_chain(rank: int, form: str) -> None:
    """W^A[s, t] = theta_s . theta_t, for BOS and EOS too, in each sentence's factors (eq. 30)."""
    tagger = make_tagger("crf_backprop", tag_rank=rank, tag_form=form)
    batch = make_batch(tagger)
    chain = tagger(batch)
    before, after = embeddings(tagger)
    emission = tagger.emission.detach().numpy()
    for b, words in enumerate(batch.words):
        rows = [int(handout.one_hot_vector(w, list(tagger.lexicon.training_counts)).argmax()) for w in words]
        factors = handout.Factors(
            len(words), 3, lambda s, t, i: float(before[s] @ after[t]), lambda t, i: emission[rows[i - 1], t]
        )
        expected = factors.tables()
        close(chain.start[b], expected.start)
        close(chain.emit[b, : len(words)], expected.emit)
        close(chain.trans.expand(len(words) - 1, -1, -1), expected.trans)
        close(chain.stop[b], expected.stop)
        close(tagger.logprob(batch)[b], factors.log_conditional(batch.tags[b, : len(words)].tolist()))


@pytest.mark.parametrize("rank, form", RANKS)
def test_low_rank_has_its_rank_and_symmetry(rank: int, form: str) -> None:
    tagger = make_tagger("crf_backprop", tag_rank=rank, tag_form=form)
    start, trans, stop = (weights.detach() for weights in tagger.transition_weights())
    before, after = embeddings(tagger)
    corner = torch.tensor([before[3] @ after[4]])  # BOS before EOS, which no sentence has
    W_A = torch.cat([torch.cat([trans, stop[:, None]], dim=1), torch.cat([start, corner])[None]])
    assert np.linalg.matrix_rank(W_A.numpy(), tol=1e-9) == rank
    assert torch.equal(trans, trans.T) == (form == "symmetric")
    names = {"Theta_A", "emission"} | ({"Theta_A_"} if form == "asymmetric" else set())
    assert {name for name, _ in tagger.named_parameters()} == names


@pytest.mark.parametrize("rank, form", RANKS)
def test_low_rank_gradient(rank: int, form: str) -> None:
    tagger = make_tagger("crf_backprop", tag_rank=rank, tag_form=form)
    batch = make_batch(tagger, hidden=0.3)
    assert torch.autograd.gradcheck(lambda *_: -tagger.logprob(batch).mean(), tuple(tagger.parameters()))


def test_low_rank_learns_from_its_own_start() -> None:
    """Its first weights are not 0, where the gradient of a product is 0."""
    torch.manual_seed(0)
    tagger = ConditionalRandomFieldBackprop(Integerizer(TAGS), make_lexicon(), tag_rank=3, tag_form="asymmetric")
    batch = make_batch(tagger, TRAINING)
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=0.1, weight_decay=0.0)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        losses.append(tagger.add_gradient(batch, 0.0, 5))
        optimizer.step()
    assert losses[-1] < 0.1 < 1 < losses[0]
    assert tagger.transition_weights()[1].abs().max() > 0.5


@pytest.mark.parametrize("sizes, names", [
    (dict(unigram=True, tag_rank=2), ["unigram", "tag_rank"]),
    (dict(tag_form="asymmetric"), ["tag_form", "tag_rank"]),
    (dict(tag_rank=2, tag_form="diagonal"), ["tag_form", "diagonal"]),
    (dict(tag_rank=-1), ["tag_rank", "-1"]),
])  # fmt: skip
def test_refused_sizes(sizes: dict, names: list[str]) -> None:
    with pytest.raises(ValueError) as raised:
        make_tagger("crf_backprop", **sizes)
    assert all(name in str(raised.value) for name in names) and "\n" not in str(raised.value)


VARIANTS = [("crf", dict(unigram=True)), ("crf_backprop", dict(unigram=True))]
VARIANTS += [("crf_backprop", dict(tag_rank=rank, tag_form=form)) for rank, form in RANKS[1::2]]
every_variant = pytest.mark.parametrize("kind, sizes", VARIANTS, ids=lambda x: x if isinstance(x, str) else str(x))


@every_variant
def test_save_and_load(kind: str, sizes: dict, tmp_path: Path) -> None:
    tagger = make_tagger(kind, **sizes).float()
    tagger.save(tmp_path / "model")
    loaded = Tagger.load(tmp_path / "model")
    assert type(loaded) is type(tagger) and loaded.sizes == tagger.sizes
    assert sizes.items() <= loaded.sizes.items()
    assert torch.equal(tagger.logprob(make_batch(tagger)), loaded.logprob(make_batch(loaded)))
    assert torch.equal(tagger(make_batch(tagger)).argmax, loaded(make_batch(loaded)).argmax)


@every_variant
def test_padding_and_batch_do_not_matter(kind: str, sizes: dict) -> None:
    tagger = make_tagger(kind, **sizes)
    batch = make_batch(tagger, hidden=0.3)
    together = tagger.logprob(batch)
    wide = replace(batch, ids=torch.nn.functional.pad(batch.ids, (0, 2), value=10**6),
                   tags=torch.nn.functional.pad(batch.tags, (0, 2), value=-1))  # fmt: skip
    close(tagger.logprob(wide), together)
    for b, line in enumerate(LINES):
        alone = replace(make_batch(tagger, [line]), tags=batch.tags[b : b + 1, : len(batch.words[b])])
        close(tagger.logprob(alone), together[b : b + 1])


# ---------------------------------------------------------------------------------------------------- start from an HMM


def trained_hmm(lexicon: Lexicon, smoothing: float = 0.1, unigram: bool = False) -> HiddenMarkovModel:
    hmm = HiddenMarkovModel(Integerizer(TAGS), lexicon, unigram=unigram).double().eval()
    counts, _ = hmm.e_step(make_batch(hmm, TRAINING))
    hmm.m_step(counts, smoothing)
    return hmm


@pytest.mark.parametrize("unigram", [False, True], ids=["bigram", "unigram"])
@pytest.mark.parametrize("kind", ["crf", "crf_backprop"])
def test_start_from_hmm(kind: str, unigram: bool) -> None:
    """The CRF's p(tags | words) is then the HMM's, for all taggings, and so is the best tagging."""
    lexicon = make_lexicon()
    hmm = trained_hmm(lexicon, unigram=unigram)
    crf = tagger_class(kind)(Integerizer(TAGS), lexicon, unigram=unigram).double().eval()
    crf.start_from(hmm)
    batch = make_batch(crf, hidden=0.3)
    one, other = crf(batch), hmm(batch)
    close(crf.logprob(batch), hmm.logprob(batch) - other.log_partition)
    close(one.marginals, other.marginals)
    for K in (1, 5):
        p, p_of_hmm = (chain.kbest(K).scores - chain.log_partition[:, None] for chain in (one, other))
        close(p.exp(), p_of_hmm.exp())
    assert torch.equal(one.argmax, other.argmax)
    assert all(parameter.isfinite().all() for parameter in crf.parameters())
    crf.train()
    assert crf.add_gradient(batch, 1.0, 5) > 0
    assert all(parameter.grad.isfinite().all() for parameter in crf.parameters())


def test_a_bigram_crf_can_start_from_a_unigram_hmm() -> None:
    lexicon = make_lexicon()
    hmm = trained_hmm(lexicon, unigram=True)
    crf = ConditionalRandomField(Integerizer(TAGS), lexicon).double().eval()
    crf.start_from(hmm)
    close(crf(make_batch(crf)).marginals, hmm(make_batch(hmm)).marginals)
    assert torch.equal(crf.trans, hmm.trans)


def test_start_from_a_neural_hmm() -> None:
    """Any HMM over the same words will do."""
    lexicon = make_lexicon()
    hmm = HiddenMarkovModelNeural(Integerizer(TAGS), lexicon).double().eval()
    crf = ConditionalRandomField(Integerizer(TAGS), lexicon).double().eval()
    crf.start_from(hmm)
    close(crf(make_batch(crf)).marginals, hmm(make_batch(hmm)).marginals)
    assert crf(make_batch(crf)).marginals.std() > 0.01


def test_start_from_refuses() -> None:
    lexicon = make_lexicon()
    hmm, tagset = trained_hmm(lexicon), Integerizer(TAGS)
    few = Lexicon.from_corpus(sentences(TRAINING[:2]))
    cases = {
        "tag_rank": (ConditionalRandomFieldBackprop(tagset, lexicon, tag_rank=2), hmm),
        "one-hot": (ConditionalRandomFieldBackprop(tagset, make_lexicon(pretrained=True)), hmm),
        "crf_neural": (ConditionalRandomFieldNeural(tagset, lexicon), hmm),
        "unigram": (ConditionalRandomField(tagset, lexicon, unigram=True), hmm),
        "words": (ConditionalRandomField(tagset, few), hmm),
        "tags": (ConditionalRandomField(Integerizer(TAGS[::-1]), lexicon), hmm),
        "smooth": (ConditionalRandomField(tagset, lexicon), trained_hmm(lexicon, smoothing=0.0)),
    }
    for message, (crf, source) in cases.items():
        before = {name: tensor.clone() for name, tensor in crf.state_dict().items()}
        with pytest.raises(ValueError, match=message):
            crf.start_from(source)
        assert all(torch.equal(before[name], tensor) for name, tensor in crf.state_dict().items())


def test_counts_and_parameters_have_the_same_names() -> None:
    """`gradient` names its parts as the parameters; with unigram those of the bigrams are left out."""
    tagger = make_tagger("crf", unigram=True)
    gradient, _ = tagger.gradient(make_batch(tagger))
    assert set(gradient) == set(Counts._fields)
    tagger.add_gradient(make_batch(tagger), 0.0, 5)
    close(tagger.emission.grad, -gradient["emission"] / len(LINES))
