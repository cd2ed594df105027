"""Word features: look-up, special rows, blocks side by side, training of OOV, lexicon files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from corpus import Batch, InputError, IntegerizedCorpus, parse_sentence
from integerize import Integerizer
from lexicon import Lexicon
from tagger import Tagger, tagger_class
from word_features import BOS, EOS, OneHot, Pretrained, look_up
from word_vectors import WordVectors, read_lexicon

ROWS = {
    "OOL": [-1.0, 0.5],
    "the": [1.0, 2.0],
    "BOS": [10.0, 11.0],
    "EOS": [20.0, 21.0],
    "The": [3.0, 4.0],
    "paris": [5.0, 6.0],
    "bank": [7.0, 8.0],
}
COUNTS = {"the": 9, "bank": 1, "river": 1, "barks": 3, "Sue": 2}  # river, barks, Sue: known and without a row
FEATURES = ["one_hot", "pretrained", "both", "two"]


def vectors(scale: float = 1.0) -> WordVectors:
    return WordVectors(list(ROWS), scale * torch.tensor(list(ROWS.values())))


def make(features: str = "both", untagged: Sequence[str] = ()) -> Lexicon:
    blocks = {"one_hot": [], "two": [vectors(), vectors(100.0)]}.get(features, [vectors()])
    return Lexicon(COUNTS, untagged, blocks, one_hot=features in ("one_hot", "both")).eval()


def batch_of(lexicon: Lexicon, *lines: str) -> Batch:
    corpus = IntegerizedCorpus([parse_sentence(line, "test") for line in lines], lexicon.vocab, Integerizer())
    return corpus.batch(torch.arange(len(lines)))


def embed(lexicon: Lexicon, *words: str) -> Tensor:
    """[number of words, e]: their feature vectors."""
    return lexicon.embed(batch_of(lexicon, " ".join(words)))[0].detach()


# -------------------------------------------------------------------------------------------------------------- look-up


def test_look_up() -> None:
    table = {"the": 1, "The": 2, "NATO": 3, "zero": 4, "Zero": 0}
    words = ["the", "The", "THE", "NATO", "nato", "Nato", "zero", "Zero", "ZERO", "no"]
    assert [look_up(word, table) for word in words] == [1, 2, 1, 3, None, None, 4, 0, 4, None]


def test_pretrained_look_up() -> None:
    """As it is, lower-cased, else OOL for a known word and OOV for a novel one."""
    lexicon = make("pretrained")
    with torch.no_grad():
        [block for block in lexicon.blocks if isinstance(block, Pretrained)][0].oov.copy_(torch.tensor([33.0, 44.0]))
    words = ["the", "The", "THE", "Paris", "paris", "PARIS", "Bank", "river", "RIVER", "Sue", "sue", "nowhere"]
    ool, oov = ROWS["OOL"], [33.0, 44.0]
    expected = [ROWS["the"], ROWS["The"], ROWS["the"], *[ROWS["paris"]] * 3, ROWS["bank"], ool, ool, ool, oov, oov]
    assert embed(lexicon, *words).tolist() == expected


def test_one_hot_look_up() -> None:
    """One dimension a training word, one each for OOV, BOS, EOS; as it is, lower-cased, else OOV."""
    lexicon = make("one_hot")
    assert lexicon.dim == len(COUNTS) + 3
    rows = embed(lexicon, "the", "THE", "bank", "River", "Sue", "sue", "nowhere", "paris")
    assert (rows.sum(dim=1) == 1).all() and (rows.max(dim=1).values == 1).all()
    the, upper, bank, river, sue, lower, nowhere, paris = rows.argmax(dim=1).tolist()
    assert the == upper and len({the, bank, river, sue}) == 4
    assert lower == nowhere == paris == 0 not in (the, bank, river, sue)


@pytest.mark.parametrize("features", FEATURES)
def test_special_rows_are_not_words(features: str) -> None:
    """A text may spell BOS, EOS and OOL; these words are as novel as any, in whatever case."""
    lexicon = make(features)
    novel = embed(lexicon, "nowhere")[0]
    ends = lexicon.embed(batch_of(lexicon, "the"), ends=True)[0].detach()
    with torch.no_grad():
        for block in [block for block in lexicon.blocks if isinstance(block, Pretrained)]:
            block.oov.fill_(77.0)
    for word in ("BOS", "EOS", "OOL", "bos", "eos", "ool", "Bos"):
        assert lexicon.category(word) == "novel"
        row = embed(lexicon, word)[0]
        assert torch.equal(row, embed(lexicon, "nowhere")[0])
        assert not torch.equal(row, ends[0]) and not torch.equal(row, ends[2])
    assert features == "one_hot" or not torch.equal(novel, embed(lexicon, "nowhere")[0])


def test_special_spellings_in_training() -> None:
    """A training text that spells BOS, EOS and OOL has them as words of its own."""
    lexicon = Lexicon({"BOS": 5, "OOL": 4, "EOS": 2}, vectors=[vectors()], one_hot=True).eval()
    ends = lexicon.embed(batch_of(lexicon, "BOS"), ends=True)[0].detach()
    rows = embed(lexicon, "BOS", "EOS", "OOL")
    one_hot, pretrained = rows.split(lexicon.dims, dim=1)
    assert sorted(one_hot.argmax(dim=1).tolist()) == [3, 4, 5]
    assert pretrained.tolist() == [ROWS["OOL"]] * 3  # known words without a row
    assert not any(torch.equal(row, end) for row in rows for end in (ends[0], ends[2]))


def test_a_word_that_is_spelled_like_our_own_marks() -> None:
    """No word of a text should be, yet a hostile text may hold NUL; it must not break the tables."""
    lexicon = Lexicon.from_corpus([parse_sentence(f"{BOS}/N {EOS}/N the/D end/N", "test")])
    rows = embed(lexicon.eval(), BOS, EOS, "the", "end")
    assert rows.shape == (4, lexicon.dim)
    assert len(set(rows.argmax(dim=1).tolist())) == 4


@pytest.mark.parametrize("features", FEATURES)
def test_ends(features: str) -> None:
    """BOS before the first token, EOS after the last; beyond that, and in all padding, EOS too."""
    lexicon = make(features)
    batch = batch_of(lexicon, "the nowhere barks", "Paris")
    inner, outer = lexicon.embed(batch), lexicon.embed(batch, ends=True)
    assert inner.shape == (2, 3, lexicon.dim) and outer.shape == (2, 5, lexicon.dim)
    bos, eos = outer[0, 0], outer[0, 4]
    assert torch.equal(outer[:, 1:-1], inner)
    assert torch.equal(outer[1, 0], bos) and all(torch.equal(row, eos) for row in outer[1, 2:])
    expected = {"one_hot": [], "two": [1.0, 100.0]}.get(features, [1.0])
    for special, row in (("BOS", bos), ("EOS", eos)):
        pretrained = torch.cat([scale * torch.tensor(ROWS[special]) for scale in expected] + [torch.empty(0)])
        assert torch.equal(row[lexicon.dim - len(pretrained) :], pretrained)
    assert not torch.equal(bos, eos)


def test_padding_ids_are_never_looked_up() -> None:
    lexicon = make("both")
    batch = batch_of(lexicon, "the nowhere barks", "Paris")
    before = lexicon.embed(batch, ends=True)
    batch.ids[1, 1:] = torch.tensor([10**9, -5])
    assert torch.equal(lexicon.embed(batch, ends=True), before)


# ----------------------------------------------------------------------------------------------------- blocks, products


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("features", FEATURES)
def test_product_is_that_of_the_vectors(features: str, ends: bool) -> None:
    """features @ weight = embed @ weight (eq. 43), also where the weight needs a gradient."""
    lexicon = make(features).double()
    batch = batch_of(lexicon, "the Bank nowhere river", "The", "Sue barks")
    rows = lexicon.embed(batch, ends).double()
    weight = torch.randn(lexicon.dim, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight.requires_grad_()
    product, expected = lexicon.features(batch, ends) @ weight, rows @ weight
    torch.testing.assert_close(product, expected)
    by_weight = torch.autograd.grad((product**2).sum(), weight, retain_graph=True)
    torch.testing.assert_close(by_weight, torch.autograd.grad((expected**2).sum(), weight, retain_graph=True))


@pytest.mark.parametrize("features", FEATURES)
def test_transposed_product_is_the_adjoint(features: str) -> None:
    """<features @ W, x> = <W, features^T x> for all W and x."""
    lexicon = make(features).double()
    batch = batch_of(lexicon, "the Bank nowhere river the", "The", "Sue barks")
    generator = torch.Generator().manual_seed(1)
    words = lexicon.features(batch)
    weight = torch.randn(lexicon.dim, 3, dtype=torch.float64, generator=generator)
    x = torch.randn(*batch.ids.shape, 3, dtype=torch.float64, generator=generator)
    adjoint = words.transposed_product(x)
    assert adjoint.shape == weight.shape
    torch.testing.assert_close(((words @ weight) * x).sum(), (weight * adjoint).sum())
    torch.testing.assert_close(adjoint, torch.einsum("bne,bno->eo", lexicon.embed(batch).double(), x))


def test_blocks_side_by_side() -> None:
    """The one-hot block first, then each lexicon's, in order; without any lexicon there is always the one-hot block."""
    both, two = make("both"), make("two")
    assert both.dims == [len(COUNTS) + 3, 2] and two.dims == [2, 2] and both.dim == sum(both.dims)
    row = embed(both, "the")[0]
    assert torch.equal(row[: both.dims[0]], embed(make("one_hot"), "the")[0])
    assert row[both.dims[0] :].tolist() == ROWS["the"]
    assert embed(two, "The")[0].tolist() == [3.0, 4.0, 300.0, 400.0]
    assert Lexicon(COUNTS).one_hot and not Lexicon(COUNTS, vectors=[vectors()]).one_hot


def test_vocabulary_that_grows() -> None:
    """Texts are read after the model was built and used; a number stands for one spelling for ever."""
    lexicon = make("both")
    first = batch_of(lexicon, "the nowhere")
    before = lexicon.embed(first)
    later = batch_of(lexicon, "Paris river elsewhere the", "BANK")
    assert lexicon.embed(later).shape == (2, 4, lexicon.dim)
    assert torch.equal(lexicon.embed(first), before)
    assert torch.equal(lexicon.embed(later)[0, 3], before[0, 0])
    assert torch.equal(lexicon.embed(later)[0, 2], before[0, 1])  # both novel
    assert lexicon.embed(later)[1, 0, -2:].tolist() == ROWS["bank"]


# ------------------------------------------------------------------------------------------------------ OOV in training


def share_replaced(lexicon: Lexicon, word: str, times: int = 1000) -> tuple[float, float]:
    """In train() mode: how often the word's one-hot features are OOV's, and how often its pretrained ones are."""
    torch.manual_seed(0)
    lexicon.train()
    with torch.no_grad():
        [block for block in lexicon.blocks if isinstance(block, Pretrained)][0].oov.fill_(99.0)
    rows = embed(lexicon, *[word] * times)
    return rows[:, 0].mean().item(), (rows[:, -1] == 99.0).float().mean().item()


@pytest.mark.parametrize(
    "word, one_hot, pretrained",
    [
        ("river", True, True),  # once in training, no row
        ("bank", True, False),  # once in training, has a row: its vector is what a novel word with that row has
        ("barks", False, False),  # three times
        ("the", False, False),
    ],
)
def test_singletons_are_novel_half_of_the_time(word: str, one_hot: bool, pretrained: bool) -> None:
    of_one_hot, of_pretrained = share_replaced(make("both"), word)
    assert 0.43 < of_one_hot < 0.57 if one_hot else of_one_hot == 0
    assert 0.43 < of_pretrained < 0.57 if pretrained else of_pretrained == 0


def test_blocks_agree_on_which_token_is_novel() -> None:
    lexicon = make("both").train()
    with torch.no_grad():
        [block for block in lexicon.blocks if isinstance(block, Pretrained)][0].oov.fill_(99.0)
    rows = embed(lexicon, *["river"] * 200)
    assert torch.equal(rows[:, 0] == 1, rows[:, -1] == 99)


def test_novel_words_are_always_oov_in_training() -> None:
    assert share_replaced(make("both"), "nowhere", times=50) == (1.0, 1.0)


def test_nothing_is_replaced_in_eval_mode() -> None:
    lexicon = make("both")
    with torch.no_grad():
        [block for block in lexicon.blocks if isinstance(block, Pretrained)][0].oov.fill_(99.0)
    state = torch.get_rng_state()
    rows = embed(lexicon, *["river", "bank"] * 100)
    assert not rows[:, 0].any() and not (rows == 99).any()
    assert torch.equal(torch.get_rng_state(), state)  # nor is anything drawn


def test_replacement_is_a_function_of_torchs_generator() -> None:
    lexicon = make("one_hot").train()
    batch = batch_of(lexicon, " ".join(["river", "bank"] * 20))
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(lexicon.embed(batch))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_ends_are_never_replaced() -> None:
    lexicon = Lexicon({"BOS": 1, "EOS": 1, "the": 1}, vectors=[vectors()], one_hot=True).train()
    with torch.no_grad():
        [block for block in lexicon.blocks if isinstance(block, Pretrained)][0].oov.fill_(99.0)
    outer = lexicon.embed(batch_of(lexicon, *["the"] * 60), ends=True).detach()
    assert (outer[:, 0] == outer[0, 0]).all() and (outer[:, 2] == outer[0, 2]).all() and not (outer[:, ::2] == 99).any()


def test_oov_vector_is_trained_and_starts_at_ool() -> None:
    lexicon = make("pretrained")
    (oov,) = lexicon.parameters()
    assert oov.tolist() == ROWS["OOL"]
    assert torch.equal(embed(lexicon, "nowhere"), embed(lexicon, "river"))
    rows = lexicon.embed(batch_of(lexicon, "nowhere the river elsewhere"))
    (gradient,) = torch.autograd.grad(rows.sum(), oov)
    assert gradient.tolist() == [2.0, 2.0]  # from the two novel words, not from the known one that gets OOL
    with torch.no_grad():
        oov.add_(1.0)
    assert embed(lexicon, "river").tolist() == [ROWS["OOL"]]  # the row of the file is left alone


# ----------------------------------------------------------------------------------------------------------- finetuning


def finetuned() -> tuple[Lexicon, Pretrained]:
    sentences = [parse_sentence(line, "test") for line in ("the/D bank/N", "the/D river/N barks/V")]
    lexicon = Lexicon.from_corpus(sentences, [vectors()], finetune=True).eval()
    (block,) = lexicon.blocks
    return lexicon, block


def test_delta_is_added_to_the_vectors() -> None:
    """In whatever case the word is found; OOV has a vector of its own."""
    lexicon, block = finetuned()
    words = ["the", "The", "THE", "bank", "river", "nowhere"]
    before = embed(lexicon, *words)
    assert torch.equal(before, embed(make("pretrained"), *words)) and not block.delta.any()
    with torch.no_grad():
        block.delta[block.index["the"]] = torch.tensor([0.5, 0.25])
        block.delta[block.ool] = 7.0
    shift = embed(lexicon, *words) - before
    assert shift.tolist() == [[0.5, 0.25], [0, 0], [0.5, 0.25], [0, 0], [7, 7], [0, 0]]
    assert torch.equal(block.matrix, vectors().matrix)


def test_gradient_of_delta() -> None:
    """One for each token of the row; padding and words of other rows get none."""
    lexicon, block = finetuned()
    lexicon.embed(batch_of(lexicon, "the bank THE nowhere river", "the")).sum().backward()
    of_rows = dict(zip(block.words, block.delta.grad[:, 0].tolist()))
    assert {word: gradient for word, gradient in of_rows.items() if gradient and word != "EOS"} == (
        {"the": 3.0, "bank": 1.0, "OOL": 1.0}
    )


def test_every_lexicon_is_finetuned_or_none() -> None:
    sentences = [parse_sentence("the/D bank/N", "test")]
    for finetune in (False, True):
        blocks = Lexicon.from_corpus(sentences, [vectors(), vectors(100.0)], finetune=finetune).blocks
        assert [block.delta is not None for block in blocks] == [finetune] * 2


@pytest.mark.parametrize("finetune", [False, True])
def test_delta_is_saved(finetune: bool, tmp_path: Path) -> None:
    sentences = [parse_sentence("the/D bank/N", "test")]
    lexicon = Lexicon.from_corpus(sentences, [vectors()], finetune=finetune)
    tagger = tagger_class("crf_backprop")(Integerizer(["D", "N"]), lexicon)
    if finetune:
        torch.nn.init.uniform_(lexicon.blocks[0].delta)
    tagger.save(tmp_path / "m.model")
    loaded = Tagger.load(tmp_path / "m.model").lexicon
    assert torch.equal(embed(loaded, "the", "Paris", "nowhere"), embed(lexicon.eval(), "the", "Paris", "nowhere"))
    assert torch.equal(loaded.blocks[0].matrix, vectors().matrix)
    assert (loaded.blocks[0].delta is not None) == finetune


# ------------------------------------------------------------------------------------------------------------- category


def test_category() -> None:
    lexicon = Lexicon.from_corpus(
        [parse_sentence(line, "test") for line in ("the/D Bank/N sank", "Rain fell/V", "the/D sank")],
        vectors=[vectors()],
    )
    expected = {
        "known": ["the", "THE", "Bank", "fell", "FELL"],
        "seen": ["sank", "Sank", "Rain", "paris", "Paris", "bank"],  # bank: `Bank` is known, the spelling `bank` is not
        "novel": ["rain", "nowhere", "BOS", "OOL", "EOS"],
    }
    assert {kind: [word for word in words if lexicon.category(word) == kind] for kind, words in expected.items()} == (
        expected
    )


def test_from_corpus_counts_tagged_tokens_only() -> None:
    lexicon = Lexicon.from_corpus([parse_sentence("a/D b a/D c/N", "test"), parse_sentence("b c", "test")])
    assert lexicon.training_counts == {"a": 2, "c": 1}
    assert set(lexicon.untagged_words) == {"b", "c"}
    assert lexicon.dim == 3 + 2


def test_untagged_words_are_oov_to_the_one_hot_block() -> None:
    """Of a word that no tag was seen with there is nothing to learn; it is like a novel one there."""
    lexicon = make("one_hot", untagged=["whispers"])
    assert lexicon.category("whispers") == "seen"
    assert torch.equal(embed(lexicon, "whispers"), embed(lexicon, "nowhere"))


# ---------------------------------------------------------------------------------------------------------------- files

PLAIN = "the\t1\t2.5\nOOL\t-1\t0\nBOS\t3\t3\nEOS\t4\t4\ndog\t1e-2\t-7\n"
GOOD = {
    "tabs": "5 2\n" + PLAIN,
    "tabs without header": PLAIN,
    "blanks": "5 2\n" + PLAIN.replace("\t", " "),
    "glove": PLAIN.replace("\t", " "),
    "crlf": ("5 2\n" + PLAIN).replace("\n", "\r\n"),
    "bom": "\ufeff5 2\n" + PLAIN,
    "no last newline": ("5 2\n" + PLAIN).rstrip("\n"),
    "empty lines": "5 2\n\n" + PLAIN.replace("dog", "\ndog"),
    "header with tab": "5\t2\n" + PLAIN,
    "word2vec": ("5 2\n" + PLAIN).replace("\t", " ").replace("\n", " \n").replace("5 2 \n", "5 2\n"),
    "fasttext without header": PLAIN.replace("\t", " ").replace("\n", " \n"),
}


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "vectors.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("form", GOOD)
def test_read_lexicon(form: str, tmp_path: Path) -> None:
    """word2vec's own program and fastText end each row with a blank."""
    read = read_lexicon(write(tmp_path, GOOD[form]))
    assert read.words == ["the", "OOL", "BOS", "EOS", "dog"]
    expected = torch.tensor([[1, 2.5], [-1, 0], [3, 3], [4, 4], [0.01, -7]])
    assert read.matrix.dtype == torch.float32 and torch.equal(read.matrix, expected)


def test_missing_special_rows_are_the_mean(tmp_path: Path) -> None:
    read = read_lexicon(write(tmp_path, "the 1 2\nEOS 5 0\ndog 0 1\n"))
    assert read.words[:3] == ["the", "EOS", "dog"] and sorted(read.words[3:]) == ["BOS", "OOL"]
    assert read.matrix[3:].tolist() == [[2.0, 1.0]] * 2
    Pretrained(read)  # which needs them


def test_first_of_duplicate_words_counts(tmp_path: Path) -> None:
    read = read_lexicon(write(tmp_path, "4 1\nthe\t1\na\t2\nthe\t3\nOOL\t0\n"))
    assert read.words[:3] == ["the", "a", "OOL"]
    assert read.matrix[:3].tolist() == [[1.0], [2.0], [0.0]]


def test_words_that_hold_blanks_or_digits(tmp_path: Path) -> None:
    """GloVe has words with blanks in them; a number is a word like another."""
    read = read_lexicon(write(tmp_path, "the 1 2\n. . . 3 4\n1984 5 6\nat name@example.com 7 8\n"))
    assert read.words[:4] == ["the", ". . .", "1984", "at name@example.com"]
    read = read_lexicon(write(tmp_path, "3 2\nthe\t1\t2\nNew York\t3\t4\n7\t5\t6\n"))
    assert read.words[:3] == ["the", "New York", "7"]
    assert read.matrix[2].tolist() == [5.0, 6.0]


BAD: dict[str, tuple[str | bytes, int | None, str]] = {
    # what is in the file, the line that the message names, and a word of the message
    "empty": ("", None, "no word vector"),
    "only empty lines": ("\n \n\r\n", None, "no word vector"),
    "only a header": ("3 2\n", None, "no word vector"),
    "too few rows": ("3 1\na\t1\nb\t2\n", 1, "promises 3"),
    "too many rows": ("1 1\na\t1\nb\t2\n", 1, "promises 1"),
    "a short row": ("2 2\na\t1\t2\nb\t1\n", 3, "expected a word and 2"),
    "a long row": ("2 2\na\t1\t2\nb\t1\t2\t3\n", 3, "expected a word and 2"),
    "a short row, blanks": ("a 1 2\nb 1\n", 2, "expected a word and 2"),
    "a long row, blanks": ("2 2\na 1 2\nb 1 2 3\n", 3, "expected a word and 2"),
    "other dimension than promised": ("2 2\na 1 2 3\nb 1 2 3\n", 2, "expected a word and 2"),
    "no number": ("2 2\na\t1\t2\n\nb\t1\ttwo\n", 4, "two"),
    "nan": ("a 1 2\nb nan 2\n", 2, "finite"),
    "infinity": ("a 1 2\nb 1 2\nc 1 inf\n", 3, "finite"),
    "too large": ("a 1 2\nb 1 1e39\n", 2, "finite"),
    "no vector": ("the\nof\n", 1, "without a vector"),
    "no word": ("2 2\na\t1\t2\n\t1\t2\n", 3, "expected a word"),
    "dimension 0": ("1 0\nthe\n", None, "without a vector"),
    "not UTF-8": (b"a 1 2\nb\xff 1 2\n", 2, "UTF-8"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_lexicon(what: str, tmp_path: Path) -> None:
    text, line, message = BAD[what]
    path = write(tmp_path, text)
    with pytest.raises(InputError) as raised:
        read_lexicon(path)
    where = f"{path}:{line}: " if line else f"{path}:"
    assert str(raised.value).startswith(where) and message in str(raised.value) and "\n" not in str(raised.value)


def test_missing_lexicon(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.txt", tmp_path):
        with pytest.raises(InputError) as raised:
            read_lexicon(path)
        assert str(raised.value).startswith(f"{path}: ")


def test_rows_of_a_lexicon_without_special_rows(tmp_path: Path) -> None:
    """A lexicon read from a file goes straight into a model, ends and all."""
    read = read_lexicon(write(tmp_path, "the 1 2\ndog 3 5\n"))
    lexicon = Lexicon({"the": 2}, vectors=[read]).eval()
    assert lexicon.embed(batch_of(lexicon, "DOG zzz"), ends=True)[0].tolist() == [[2, 3.5], [3, 5], [2, 3.5], [2, 3.5]]


def test_one_hot_rows_are_numbers_of_words() -> None:
    block = OneHot(["a", "b"])
    assert block.rows(["b", "A", "c", "", BOS, EOS], [True] * 6).tolist() == [4, 3, 0, 0, 1, 2]
