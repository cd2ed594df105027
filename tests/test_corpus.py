"""Corpora: the file format, its errors, writing, integerized corpora and their batches."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import corpus as corpus_module
from corpus import (
    InputError,
    IntegerizedCorpus,
    Sentence,
    decode_lines,
    escape,
    parse_corpus,
    parse_sentence,
    read_corpus,
    unescape,
    write_corpus,
    write_whole,
)
from integerize import Integerizer

CODE = Path(corpus_module.__file__).parent


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "texts"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ---------------------------------------------------------------------------------------------------------- integerizer


def test_integerizer() -> None:
    numbers = Integerizer(["a", "b", "a"])
    assert [numbers.add(item) for item in ("c", "a", "b", "c", "d")] == [2, 0, 1, 2, 3]
    assert len(numbers) == 4 and list(numbers) == ["a", "b", "c", "d"] and numbers[3] == "d"
    assert numbers.index("b") == 1 and numbers.index("x") is None
    assert "a" in numbers and "x" not in numbers and len(numbers) == 4


# ------------------------------------------------------------------------------------------------------------ sentences


@pytest.mark.parametrize(
    "line, words, tags",
    [
        ("the/D dog/N", ["the", "dog"], ["D", "N"]),
        ("the dog", ["the", "dog"], [None, None]),
        ("the/D dog barks/V", ["the", "dog", "barks"], ["D", None, "V"]),
        ("and/or/C", ["and/or"], ["C"]),  # split at the last slash
        ("and&slash;or/C", ["and/or"], ["C"]),
        ("and&slash;or", ["and/or"], [None]),
        ("&slash;/,", ["/"], [","]),
        ("x/A&slash;B", ["x"], ["A/B"]),
        ("//S", ["/"], ["S"]),
        ("B-PER/O 3/CD", ["B-PER", "3"], ["O", "CD"]),
        ("naïve/J 犬/N \u00a0/S", ["naïve", "犬", "\u00a0"], ["J", "N", "S"]),  # only blanks separate tokens
        ("tab\there/N", ["tab\there"], ["N"]),
        ("&amp;/C", ["&amp;"], ["C"]),
    ],
)
def test_parse_sentence(line: str, words: list[str], tags: list[str | None]) -> None:
    sentence = parse_sentence(line, "file:1")
    assert sentence == Sentence(tuple(words), tuple(tags)) and len(sentence) == len(words)
    assert parse_sentence(str(sentence), "again") == sentence


def test_parse_untagged() -> None:
    """Every token is a bare word, slashes and all."""
    sentence = parse_sentence("the/D and&slash;or / /x y/", "file:1", untagged=True)
    assert sentence == Sentence(("the/D", "and/or", "/", "/x", "y/"), (None,) * 5)
    assert str(sentence) == "the&slash;D and&slash;or &slash; &slash;x y&slash;"


@pytest.mark.parametrize(
    "line, token",
    [("the/D dog/", "dog/"), ("/N the/D", "/N"), ("a /", "/"), ("the/D  dog/N", ""), (" the/D", ""), ("the/D ", "")],
)
def test_malformed_token(line: str, token: str) -> None:
    with pytest.raises(InputError, match="^texts:17: malformed token") as raised:
        parse_sentence(line, "texts:17")
    assert repr(token) in str(raised.value)


def test_escape() -> None:
    assert escape("1/2/3") == "1&slash;2&slash;3" and unescape("1&slash;2&slash;3") == "1/2/3"
    assert escape("&") == unescape("&") == "&"


# ---------------------------------------------------------------------------------------------------------------- files

EXPECTED = [Sentence(("the", "dog"), ("D", None)), Sentence(("é/è",), ("X",))]
TEXT = "the/D dog\né&slash;è/X\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.rstrip("\n").encode(),
        TEXT.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        b"\xef\xbb\xbf\r\n" + TEXT.replace("\n", "\r\n\r\n").encode(),
        ("\n\n" + TEXT.replace("\n", "\n \n\t\n")).encode(),
    ],
    ids=["lf", "no last newline", "crlf", "bom", "bom crlf empty lines", "empty lines"],
)
def test_read_corpus(content: bytes, tmp_path: Path) -> None:
    assert read_corpus(write(tmp_path, content)) == EXPECTED


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    """Unicode has other line ends; in a corpus they are characters of words."""
    words = ["a\x0bb", "c\x0cd", "e\u2028f", "g\x85h", "i\rj"]
    (sentence,) = read_corpus(write(tmp_path, " ".join(f"{word}/N" for word in words) + "\n"))
    assert list(sentence.words) == words


def test_read_untagged(tmp_path: Path) -> None:
    (sentence,) = read_corpus(write(tmp_path, "a/b c&slash;d\n"), untagged=True)
    assert sentence == Sentence(("a/b", "c/d"), (None, None))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n\t\n"])
def test_empty_file(content: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as raised:
        read_corpus(path)
    assert str(raised.value) == f"{path}: no sentence in it"


@pytest.mark.parametrize(
    "content, line, message",
    [
        (b"the/D\n\ndog/N  barks/V\n", 3, "two blanks"),
        (b"the/D\r\ndog/\r\n", 2, "malformed token 'dog/'"),
        (b"\xef\xbb\xbf/N\n", 1, "malformed token '/N'"),
        (b"the/D\nd\xf6g/N\n", 2, "not UTF-8"),
        (b"the/D\n\n\ndog/N\xff", 4, "not UTF-8"),
        ("the/D\n".encode("utf-16"), 1, "not UTF-8"),
    ],
)
def test_errors_name_file_and_line(content: bytes, line: int, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as raised:
        read_corpus(path)
    assert str(raised.value).startswith(f"{path}:{line}: ") and message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(InputError) as raised:
            read_corpus(path)
        assert str(raised.value).startswith(f"{path}: ") and "None" not in str(raised.value)


def test_standard_input_is_read_like_a_file() -> None:
    lines = decode_lines("\ufeffthe/D\r\n\r\ndog/".encode(), "standard input")
    with pytest.raises(InputError, match="^standard input:3: malformed token 'dog/'"):
        parse_corpus(lines, "standard input")


# Anything but the blank, line ends, the byte order mark, and surrogates. No word may hold the escape itself: in a file
# `&slash;` is a slash and cannot be anything else.
characters = st.characters(exclude_characters=" \n\r\ufeff", exclude_categories=["Cs"])
texts = st.one_of(st.text(characters, min_size=1, max_size=6), st.text("/&;slah", min_size=1, max_size=9)).filter(
    lambda text: "&slash;" not in text
)


@st.composite
def any_sentence(draw: st.DrawFn) -> Sentence:
    tokens = draw(st.lists(st.tuples(texts, st.none() | texts), min_size=1, max_size=5))
    return Sentence(tuple(word for word, _ in tokens), tuple(tag for _, tag in tokens))


def is_seen(sentence: Sentence) -> bool:
    """A line of nothing but white space is an empty line."""
    return bool(str(sentence).strip())


@given(sentences=st.lists(any_sentence().filter(is_seen), min_size=1, max_size=4))
def test_what_is_written_is_read(sentences: list[Sentence], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip"
    write_corpus(path, sentences)
    assert read_corpus(path) == sentences
    bare = [Sentence(sentence.words, (None,) * len(sentence)) for sentence in sentences]
    if all(map(is_seen, bare)):
        write_corpus(path, bare)
        assert read_corpus(path) == read_corpus(path, untagged=True) == bare


# -------------------------------------------------------------------------------------------------------------- writing


def test_write_corpus(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("what was there before, and is longer\n" * 9)
    write_corpus(path, EXPECTED)
    assert path.read_bytes() == TEXT.encode()
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("before", [None, "as it was\n"])
def test_nothing_half_written(error: type[BaseException], before: str | None, tmp_path: Path) -> None:
    path = tmp_path / "out"
    if before is not None:
        path.write_text(before)
    with pytest.raises(InputError if error is OSError else error), write_whole(path) as file:
        file.write("one line\n" * 10_000)
        file.flush()
        raise error("in the middle")
    assert os.listdir(tmp_path) == ([] if before is None else ["out"])
    assert before is None or path.read_text() == before


def test_not_there_before_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with write_whole(path) as file:
        file.write("one line\n")
        file.flush()
        assert not path.exists()
    assert path.read_text() == "one line\n"


@pytest.mark.skipif(os.name != "posix", reason="/dev is of Unix")
def test_devices_are_not_replaced() -> None:
    with write_whole("/dev/null") as file:
        file.write("gone\n")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are of Unix")
def test_named_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(path.read_text()), daemon=True)
    reader.start()
    write_corpus(path, EXPECTED)
    reader.join(timeout=20)
    assert received == [TEXT]
    assert stat.S_ISFIFO(os.stat(path).st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="/dev/stdout is of Unix")
def test_standard_output_that_is_a_pipe() -> None:
    """As in `tag.py ... --output_file /dev/stdout | less`."""
    program = "from corpus import write_whole\nwith write_whole('/dev/stdout') as file: file.write('one line\\n')"
    done = subprocess.run([sys.executable, "-c", program], cwd=CODE, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "one line\n"), done.stderr


@pytest.mark.skipif(os.name != "posix", reason="symbolic links need rights elsewhere")
def test_symbolic_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old\n")
    link.symlink_to(target)
    write_corpus(link, EXPECTED)
    assert link.is_symlink() and target.read_text() == TEXT


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "out"):
        with pytest.raises(InputError, match=str(path)):
            write_corpus(path, EXPECTED)
    assert os.listdir(tmp_path) == []


# -------------------------------------------------------------------------------------------------------------- batches


def integerized(lines: Sequence[str], training: bool = False) -> IntegerizedCorpus:
    sentences = [parse_sentence(line, "test") for line in lines]
    return IntegerizedCorpus(sentences, Integerizer(["<bos>"]), Integerizer(["D", "N"]), training)


LINES = ["the/D dog/N the/D", "dog", "a/D cat/X dog/N bites the/D", "Dog/N the"]


def test_integerized_corpus() -> None:
    """New words are numbered in the order of the text, by spelling; a tag that is not in the tagset is unobserved."""
    vocab = Integerizer(["<bos>", "dog"])
    tagset = Integerizer(["D", "N"])
    corpus = IntegerizedCorpus([parse_sentence(line, "test") for line in LINES], vocab, tagset)
    assert list(vocab) == ["<bos>", "dog", "the", "a", "cat", "bites", "Dog"] and list(tagset) == ["D", "N"]
    assert corpus.ids.tolist() == [2, 1, 2, 1, 3, 4, 1, 5, 2, 6, 2]
    assert corpus.tags.tolist() == [0, 1, 0, -1, 0, -1, 1, -1, 0, 1, -1]
    assert corpus.unknown_tags == 1  # X; a token without a tag is none
    assert (len(corpus), corpus.tokens) == (4, 11)


def test_batch() -> None:
    corpus = integerized(LINES)
    batch = corpus.batch(torch.tensor([3, 0, 2]))
    assert batch.words == [("Dog", "the"), ("the", "dog", "the"), ("a", "cat", "dog", "bites", "the")]
    assert len(batch) == 3 and batch.lengths.tolist() == [2, 3, 5]
    assert batch.mask.tolist() == [[True] * 2 + [False] * 3, [True] * 3 + [False] * 2, [True] * 5]
    assert batch.tags.tolist() == [[1, -1, -1, -1, -1], [0, 1, 0, -1, -1], [0, -1, 1, -1, 0]]
    assert batch.ids[batch.mask].tolist() == [6, 1, 1, 2, 1, 3, 4, 2, 5, 1]
    assert batch.fold.tolist() == [-1] * 3
    moved = batch.to("cpu")
    assert moved.words == batch.words and torch.equal(moved.tags, batch.tags)


@pytest.mark.parametrize("N", [1, 7, 10, 95, 100])
def test_folds_are_contiguous_tenths(N: int) -> None:
    corpus = integerized(["the"] * N, training=True)
    folds = corpus.batch(torch.arange(N)).fold.tolist()
    assert folds == sorted(folds) and set(folds) <= set(range(10))
    sizes = Counter(folds).values()
    assert max(sizes) - min(sizes) <= 1
    assert N < 10 or len(sizes) == 10
    assert (integerized(["the"] * N).fold == -1).all()


def lines_of_lengths(seed: int, N: int) -> list[str]:
    lengths = torch.randint(1, 12, (N,), generator=torch.Generator().manual_seed(seed)).tolist()
    return [" ".join(["w"] * length) for length in lengths]


@pytest.mark.parametrize("N, size", [(1, 4), (8, 4), (103, 10), (50, 64)])
def test_by_length(N: int, size: int) -> None:
    """Each sentence once, the longest first."""
    corpus = integerized(lines_of_lengths(N, N))
    batches = corpus.by_length(size)
    assert sorted(torch.cat(batches).tolist()) == list(range(N))
    assert all(len(batch) == size for batch in batches[:-1]) and 1 <= len(batches[-1]) <= size
    lengths = corpus.lengths[torch.cat(batches)].tolist()
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("N, size", [(1, 4), (8, 4), (103, 3), (50, 64), (700, 8)])
def test_shuffled(N: int, size: int) -> None:
    """Each sentence once an epoch, no batch too large, sentences of like length together."""
    corpus = integerized(lines_of_lengths(N, N))
    torch.manual_seed(0)
    batches = corpus.shuffled(size)
    assert sorted(torch.cat(batches).tolist()) == list(range(N))
    assert all(1 <= len(batch) <= size for batch in batches)
    if N == 700:
        assert len(batches) <= N // size + 1 + N // (16 * size)
        spread = [int(corpus.lengths[batch].max() - corpus.lengths[batch].min()) for batch in batches]
        assert sum(spread) / len(spread) < 3 < int(corpus.lengths.max() - corpus.lengths.min())


def test_shuffled_batches_are_in_random_order() -> None:
    """They were sorted by length to be cut; short sentences must not always come first."""
    corpus = integerized(lines_of_lengths(1, 60))
    torch.manual_seed(0)
    first = [int(corpus.lengths[batch][0]) for batch in corpus.shuffled(4)]
    assert len(first) == 15 and first != sorted(first)


def test_shuffled_is_a_function_of_torchs_generator() -> None:
    corpus = integerized(lines_of_lengths(3, 60))
    orders = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        orders.append([torch.cat(corpus.shuffled(4)).tolist() for _ in range(2)])
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] != orders[0][1]  # another order each epoch


def test_every_order_can_come() -> None:
    """Three sentences of one length in batches of one: all six orders."""
    corpus = integerized(["a", "b", "c"])
    torch.manual_seed(1)
    assert len({tuple(torch.cat(corpus.shuffled(1)).tolist()) for _ in range(200)}) == 6
