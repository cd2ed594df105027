"""The character convolution against loops over characters; that words are spelled right and batches do not matter."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from characters import LONGEST, RARE, Characters, inventory
from corpus import Batch, IntegerizedCorpus, parse_sentence
from integerize import Integerizer
from lexicon import Lexicon
from tagger import Tagger, tagger_class
from word_features import BOS, EOS

LINES = ["the/D dog/N barks/V", "a/D cat/N", "the/D cats/N bark/V the/D dogs/N"]
WORDS = ["dog", "a", "aaaa", "cats", "Dog", "ωdog", "dog/dog", "d" * (LONGEST + 5), "", BOS, EOS]


def block(dim: int = 4) -> Characters:
    torch.manual_seed(0)
    made = Characters("abcdgot", dim=dim, embedding_dim=3).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def features(made: Characters, *words: str) -> Tensor:
    """[number of words, dim]."""
    rows = made.rows(words, [True] * len(words))
    return made(rows[None], torch.zeros(1, len(words), dtype=torch.bool), torch.tensor([[-1]]))[0]


def by_loops(made: Characters, word: str) -> list[float]:
    """tanh(b_f + max_i sum_j W_{f,j} . x_{i+j}), term by term."""
    middle = [word] if word in (BOS, EOS) else list(word)
    if len(middle) > LONGEST:
        middle = middle[: LONGEST // 2] + middle[len(middle) - LONGEST // 2 :]
    marks = ["nothing", "unknown", "begin", "end", BOS, EOS]
    names = [*marks, *made.characters]
    numbers = [names.index(name if name in names else "unknown") for name in ["begin", *middle, "end"]]
    x, W = made.embedding.tolist(), made.filters.tolist()
    out = []
    for f in range(made.dim):
        answers = [
            math.fsum(
                W[j + 1][c][f] * x[numbers[i + j]][c]
                for j in (-1, 0, 1)
                if 0 <= i + j < len(numbers)
                for c in range(made.embedding_dim)
            )
            for i in range(len(numbers))
        ]
        out.append(math.tanh(made.bias[f].item() + max(answers)))
    return out


def batch_of(lexicon: Lexicon, *lines: str) -> Batch:
    corpus = IntegerizedCorpus([parse_sentence(line, "test") for line in lines], lexicon.vocab, Integerizer())
    return corpus.batch(torch.arange(len(lines)))


def of_corpus() -> Lexicon:
    torch.manual_seed(0)
    return Lexicon.from_corpus([parse_sentence(line, "test") for line in LINES * RARE], characters=True)


# ---------------------------------------------------------------------------------------------------------- convolution


@pytest.mark.parametrize("word", WORDS)
def test_as_the_formula_says(word: str) -> None:
    made = block()
    expected = torch.tensor([by_loops(made, word)], dtype=torch.float64)
    torch.testing.assert_close(features(made, word), expected, rtol=1e-12, atol=1e-12)


@given(st.lists(st.text("abcdx", max_size=LONGEST + 3), min_size=1, max_size=5))
def test_as_the_formula_says_for_words_of_any_length_together(words: list[str]) -> None:
    made = block(dim=2)
    expected = torch.tensor([by_loops(made, word) for word in words], dtype=torch.float64)
    torch.testing.assert_close(features(made, *words), expected, rtol=1e-12, atol=1e-12)


def test_gradient() -> None:
    made = block(dim=2)
    rows = made.rows(WORDS, [True] * len(WORDS))

    def convolved(*values: Tensor) -> Tensor:
        made.embedding, made.filters, made.bias = values
        return made.convolve(made.spellings[rows])

    values = [parameter.detach().requires_grad_() for parameter in (made.embedding, made.filters, made.bias)]
    for name in ("embedding", "filters", "bias"):
        delattr(made, name)
    assert torch.autograd.gradcheck(convolved, values)


def test_each_type_is_convolved_once(monkeypatch) -> None:
    made, seen = block(), []
    convolve = made.convolve
    monkeypatch.setattr(made, "convolve", lambda spellings: seen.append(len(spellings)) or convolve(spellings))
    number = {word: row for row, word in enumerate(["the", "dog", "and"])}
    made.rows(list(number), [True] * 3)
    rows = torch.tensor([[number[word] for word in line.split()] for line in ("the dog the dog", "dog dog the the")])
    out = made(rows, torch.zeros_like(rows, dtype=torch.bool), torch.full((2, 1), -1))
    assert seen == [2] and out.shape == (2, 4, 4)
    assert torch.equal(out[0, 0], out[1, 3]) and torch.equal(out[0, 1], out[1, 0])
    assert not torch.equal(out[0, 0], out[0, 1])


# ------------------------------------------------------------------------------------------------------------- spelling


def test_longer_words_keep_their_first_and_last_letters() -> None:
    made, half = block(), LONGEST // 2
    long = "ab" + "c" * LONGEST + "got"
    assert (
        made.spell(long) == made.spell(long[:half] + "d" * 7 + long[-half:]) != made.spell(long[:half] + long[half:-1])
    )
    assert all(len(made.spell(word)) == LONGEST + 2 for word in [long, "a", BOS, "a" * LONGEST])


def test_case_counts_and_unknown_characters_are_alike() -> None:
    dog, upper, greek, other = features(block(), "dog", "Dog", "ωog", "ψog")
    assert not torch.equal(dog, upper)  # D is not in the inventory
    assert torch.equal(greek, other) and torch.equal(greek, upper)


def test_ends_are_like_no_word() -> None:
    """A text may spell the names of the marks."""
    rows = features(block(), BOS, EOS, "", "BOS", "EOS", "begin")
    assert len({tuple(row.tolist()) for row in rows[:3]}) == 3
    assert not any(torch.equal(end, word) for end in rows[:2] for word in rows[3:])


def test_inventory_is_of_characters_that_are_not_rare() -> None:
    assert inventory({"aab": RARE, "bc": RARE - 1, "d": 1, "D": RARE - 1, "c": 1}) == ["a", "b", "c"]
    assert inventory({}) == []


# ------------------------------------------------------------------------------------------------------ in the lexicon


def test_padding_and_batch_do_not_matter() -> None:
    lexicon = of_corpus().eval()
    batch = batch_of(lexicon, "the dogs bark", "zebras", "a cat barks loudly incontrovertibly")
    outer = lexicon.embed(batch, ends=True)
    for number, words in enumerate(batch.words):
        alone = lexicon.embed(batch_of(lexicon, " ".join(words)), ends=True)[0]
        torch.testing.assert_close(outer[number, : len(words) + 2], alone, rtol=1e-6, atol=1e-6)
    batch.ids[1, 1:] = 10**9
    assert torch.equal(lexicon.embed(batch, ends=True), outer)


def test_the_word_itself_counts_in_training_too() -> None:
    """Singletons that are taken for novel keep their spelling."""
    lexicon = Lexicon({"dog": 1, "cat": 2}, one_hot=True, more=[Characters("dogcat")]).train()
    rows = lexicon.embed(batch_of(lexicon, "dog " * 50 + "cat"))[0]
    assert len(rows[:50, 0].unique()) == 2  # OOV or not, to the one-hot block
    assert (rows[:50, lexicon.dims[0] :] == rows[0, lexicon.dims[0] :]).all()


def test_every_weight_is_trained() -> None:
    sentences = [parse_sentence(line, "test") for line in LINES * RARE + ["x/N y/V"]]
    torch.manual_seed(0)
    lexicon = Lexicon.from_corpus(sentences, characters=True)
    tagger = tagger_class("crf_neural")(Integerizer(["D", "N", "V"]), lexicon, rnn_dim=2)
    corpus = IntegerizedCorpus(sentences, lexicon.vocab, tagger.tagset, training=True)
    tagger.add_gradient(corpus.batch(torch.arange(len(sentences))), 0.0, len(sentences))
    made = lexicon.blocks[0]
    by_character = made.embedding.grad.abs().sum(dim=1)
    assert by_character[0] == 0 and (by_character[1:] > 0).all()  # x and y are the unknown character
    assert (made.bias.grad != 0).all() and (made.filters.grad.abs().sum(dim=(0, 1)) > 0).all()


def test_weights_are_drawn_anew_for_another_model() -> None:
    lexicon = of_corpus().eval()
    batch = batch_of(lexicon, "the dog")
    before, drawn = lexicon.embed(batch), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(lexicon.fresh().embed(batch))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(lexicon.embed(batch), before) and not torch.equal(before, drawn[0])


def test_saved_and_loaded(tmp_path: Path) -> None:
    tagger = tagger_class("crf_neural")(Integerizer(["D", "N", "V"]), of_corpus(), rnn_dim=2).eval()
    tagger.lexicon.embed(batch_of(tagger.lexicon, "the dog"))  # the words met so far are no part of the file
    tagger.save(tmp_path / "m.model")
    loaded = Tagger.load(tmp_path / "m.model")
    rows = [model.lexicon.embed(batch_of(model.lexicon, "a zebra barked ω")) for model in (tagger, loaded)]
    assert torch.equal(*rows)
    assert loaded.lexicon.blocks[0].config() == tagger.lexicon.blocks[0].config()
