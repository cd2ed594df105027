"""Tag frequencies and affixes: what the functions give, and that a training token never sees its own tag."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from corpus import FOLDS, IntegerizedCorpus, Sentence, parse_sentence
from integerize import Integerizer
from lexicon import Lexicon, affixes, problex
from tagger import Tagger, tagger_class
from word_features import BOS, EOS

TAGS = ["D", "N", "V"]


def corpus(lines: list[str]) -> list[Sentence]:
    return [parse_sentence(line, "test") for line in lines]


def rows_of(lexicon: Lexicon, sentences: list[Sentence], training: bool) -> torch.Tensor:
    """The features of every token, one row each, in order."""
    integerized = IntegerizedCorpus(sentences, lexicon.vocab, Integerizer(TAGS), training=training)
    batch = integerized.batch(torch.arange(len(sentences)))
    return lexicon.eval().embed(batch)[batch.mask]


@pytest.mark.task_problex
def test_problex_by_hand() -> None:
    """c = [[2, 0], [0, 1], [1, 0]]: the singletons are one of each tag, so their distribution, add-one, is even."""
    rows = problex(torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)).exp()
    of_tags = [[2.5 / 3, 0.5 / 3], [0.5 / 2, 1.5 / 2], [1.5 / 2, 0.5 / 2], [0.5, 0.5]]
    of_words = [2.5 / 6, 1.5 / 6, 1.5 / 6, 0.5 / 6]
    expected = torch.tensor([[*tags, word] for tags, word in zip(of_tags, of_words)] + [[1.0, 1.0, 1.0]]).double()
    torch.testing.assert_close(rows, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.task_problex
@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=6))
def test_problex_rows_are_distributions(counts: list[list[int]]) -> None:
    rows = problex(torch.tensor(counts, dtype=torch.float64))
    assert rows.shape == (len(counts) + 2, 4) and rows.isfinite().all()
    torch.testing.assert_close(rows[:-1, :3].exp().sum(dim=1), torch.ones(len(counts) + 1).double())
    torch.testing.assert_close(rows[:-1, 3].exp().sum(), torch.ones(()).double())
    assert (rows[-1] == 0).all()


@pytest.mark.task_problex
def test_a_training_token_does_not_see_its_own_tenth() -> None:
    """Another tag for a word in one tenth changes its features in all the others and in new text, but not there."""
    lines = ["the/D dog/N barks/V"] * FOLDS
    changed = [*lines[:4], "the/D dog/V barks/V", *lines[5:]]
    for_dog = slice(1, None, 3)
    before, after = (
        rows_of(Lexicon.from_corpus(corpus(text), tag_frequencies=True), corpus(lines), training=True)[for_dog]
        for text in (lines, changed)
    )
    same = (before == after).all(dim=1)
    assert same.tolist() == [number == 4 for number in range(FOLDS)]
    new_before, new_after = (
        rows_of(Lexicon.from_corpus(corpus(text), tag_frequencies=True), corpus(["dog/N"]), training=False)
        for text in (lines, changed)
    )
    assert not torch.equal(new_before, new_after)


@pytest.mark.task_problex
def test_problex_of_words_that_were_not_in_training() -> None:
    lexicon = Lexicon.from_corpus(corpus(["the/D dog/N", "the/D cat/N"]), tag_frequencies=True)
    zebra, the, upper, dog = rows_of(lexicon, corpus(["zebra/N the/D THE/D dog/N"]), training=False)
    assert torch.equal(the, upper) and the[0] > zebra[0] > dog[0]
    by_hand = problex(torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))[:-1]  # the, dog, cat, OOV
    expected = (by_hand - by_hand.mean(dim=0)) / by_hand.std(dim=0, correction=0)
    torch.testing.assert_close(torch.stack([the, dog, zebra]), expected[[0, 1, 3]])


@pytest.mark.task_problex
def test_problex_features_of_new_text_are_standardized() -> None:
    """Over words, the unknown one included; a feature that never varies is 0."""
    lexicon = Lexicon.from_corpus(corpus(["the/D dog/N barks/V loudly/N", "the/D the/N dog/N"]), tag_frequencies=True)
    rows = rows_of(lexicon, corpus(["the/D dog/N barks/V loudly/N zebra/N"]), training=False)
    torch.testing.assert_close(rows.mean(dim=0), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows.std(dim=0, correction=0), torch.ones(4))
    constant = Lexicon.from_corpus(corpus(["dog/N", "dog/N"]), tag_frequencies=True)
    assert (rows_of(constant, corpus(["dog/N"]), training=False)[:, 0] == 0).all()


@pytest.mark.task_affixes
def test_affixes_by_hand() -> None:
    assert affixes("Re-sold") == [
        "suffix1=d", "suffix2=ld", "suffix3=old", "suffix4=sold", "prefix1=r", "prefix2=re", "prefix3=re-",
        "shape=Xx-xxxx", "short=Xx-x",
    ]  # fmt: skip
    assert affixes("1998")[-2:] == ["shape=9999", "short=9"]
    assert affixes("I")[:4] == ["suffix1=i", "suffix2=i", "suffix3=i", "suffix4=i"]


@pytest.mark.task_affixes
@given(st.text(min_size=1, max_size=12))
def test_affixes_are_as_many_for_every_word(word: str) -> None:
    found = affixes(word)
    assert len(found) == 9 and len(set(found)) == 9


@pytest.mark.task_affixes
def test_affixes_that_one_word_has_are_not_features() -> None:
    lexicon = Lexicon.from_corpus(corpus(["singing/V ringing/V dog/N"]), word_shapes=True)
    names = lexicon.blocks[0].names
    assert "suffix4=ging" in names and "suffix3=dog" not in names and "prefix1=r" not in names
    singing, walking, dog = rows_of(lexicon, corpus(["singing/V walking/V dog/N"]), training=False)
    assert singing[names["suffix3=ing"]] == walking[names["suffix3=ing"]] == 1 and dog[names["suffix3=ing"]] == 0
    assert singing.sum() == walking.sum() == dog.sum() == 9


def all_features() -> tuple[Lexicon, IntegerizedCorpus]:
    sentences = corpus(["the/D dog/N barks/V loudly", "the/D cat/N", "dogs/N bark/V", "a/D dog/N"])
    lexicon = Lexicon.from_corpus(sentences, one_hot=True, tag_frequencies=True, word_shapes=True)
    return lexicon, IntegerizedCorpus(sentences, lexicon.vocab, Integerizer(TAGS), training=True)


@pytest.mark.parametrize("ends", [False, True])
def test_product_and_its_transpose(ends: bool) -> None:
    """features @ W is embed @ W, and transposed_product is its adjoint, for every kind of block at once."""
    lexicon, integerized = all_features()
    batch = integerized.batch(torch.arange(4))
    features, dense = lexicon.eval().features(batch, ends), lexicon.embed(batch, ends)
    weight, x = torch.randn(lexicon.dim, 5), torch.randn(*dense.shape[:2], 5)
    assert dense.shape[2] == lexicon.dim
    torch.testing.assert_close(features @ weight, dense @ weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        features.transposed_product(x), torch.einsum("bme,bmo->eo", dense, x), rtol=1e-4, atol=1e-4
    )


def test_ends_are_no_words() -> None:
    """BOS and EOS have features of their own in the problex block: none."""
    lexicon, integerized = all_features()
    first = lexicon.eval().embed(integerized.batch(torch.tensor([1])), ends=True)[0]
    problex_columns = slice(lexicon.dims[0], lexicon.dims[0] + lexicon.dims[1])
    assert (first[0, problex_columns] == 0).all() and (first[-1, problex_columns] == 0).all()
    assert (first[1:-1, problex_columns] != 0).any(dim=1).all()
    assert lexicon.vocab.index(BOS) is not None and lexicon.vocab.index(EOS) is not None


def test_saved_and_loaded(tmp_path: Path) -> None:
    """All blocks come back; the tenths of the training text do not, and new text does not need them."""
    lexicon, _ = all_features()
    tagger = tagger_class("crf_neural")(Integerizer(TAGS), lexicon, rnn_dim=2).eval()
    tagger.save(tmp_path / "m.model")
    loaded = Tagger.load(tmp_path / "m.model")
    chains = []
    for model in (tagger, loaded):
        new = IntegerizedCorpus(corpus(["the/D zebra/N barked/V"]), model.lexicon.vocab, model.tagset)
        chains.append(model(new.batch(torch.arange(1))))
    assert torch.equal(chains[0].emit, chains[1].emit) and torch.equal(chains[0].trans, chains[1].trans)
