"""The readers of what a user may bring: whatever bytes they get, they load or raise InputError, and nothing else.

Corpora, lexicons, models and checkpoints, each as random bytes and as a valid file with something changed: bytes put
in, taken out or replaced; in model files also parts of the header, at any depth of its JSON. The message is one line,
begins with the file's name, and for a text names a line that is there.
"""

from __future__ import annotations

import functools
import json
import math
import os
import pickle
import re
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from corpus import InputError, IntegerizedCorpus, Sentence, parse_corpus, parse_sentence, read_corpus, write_corpus
from integerize import Integerizer
from lexicon import Lexicon
from tagger import FORMAT, Tagger, tagger_class
from training import State
from word_vectors import SPECIAL_ROWS, WordVectors, read_lexicon

Loaded = TypeVar("Loaded")

CORPUS = "\ufeffThe/D 1&slash;2/N sleeps/V\r\n\nthe dog/N\nÄ/X ./.\n".encode()
LEXICON = b"4 2\nOOL\t0\t-1e-3\nthe\t1\t2\nBOS\t.5\t3\nEOS\t1\t1\n"
GLOVE = b"the 1 2\n. . . 0.5 3\n"
# What is likely to matter to a reader of text.
PIECES = [
    b"\n", b"\r", b"\t", b" ", b"  ", b"/", b"//", b"&slash;", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf",
    "\u2028".encode(), "\xa0".encode(), "\u0663".encode(),
    b"nan", b"inf", b"1e39", b"3e38", b"-3e38", b"1_0", b"9" * 25, b"9" * 5000, b"OOL", b"0",
]  # fmt: skip


def load_or_complain(load: Callable[[Path], Loaded], path: Path, lines: int | None = None) -> Loaded | None:
    """What `load` makes of the file, None where it raises InputError; that it says what it should.

    Args:
        lines: of a text file, how many lines it has.
    """
    try:
        return load(path)
    except InputError as error:
        message = str(error)
    assert message.startswith(f"{path}:"), message
    assert "\n" not in message and len(message) < 12_000
    line = re.match(r":(\d+): ", message.removeprefix(str(path)))
    if lines is not None and line:
        assert 1 <= int(line[1]) <= lines, message
    return None


@st.composite
def changed(draw: st.DrawFn, original: bytes) -> bytes:
    """A few pieces of the file put in, taken out or replaced, or the file cut."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.integers(0, len(data)))
        data[where : where + draw(st.integers(0, 8))] = draw(st.sampled_from(PIECES) | st.binary(max_size=6))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 5)) == 0 else data)


def text_files(*originals: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=60), *map(changed, originals))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each example is written."""
    return tmp_path_factory.mktemp("fuzz") / "file"


# Texts


@given(data=text_files(CORPUS), untagged=st.booleans())
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(data=b"a/D\xff", untagged=False)
@example(data=b"\xef\xbb\xbf", untagged=True)
def test_corpus(path: Path, data: bytes, untagged: bool) -> None:
    path.write_bytes(data)
    sentences = load_or_complain(lambda path: read_corpus(path, untagged), path, data.count(b"\n") + 1)
    if sentences is None:
        return
    assert sentences and all(len(s.words) == len(s.tags) and all(s.words) and "" not in s.tags for s in sentences)
    if untagged:
        assert all(tag is None for sentence in sentences for tag in sentence.tags)
    # what is read is what is written and read again
    assert parse_corpus(map(str, sentences), "again") == sentences
    if not str(sentences[0]).startswith("\ufeff"):
        write_corpus(path, sentences)
        assert read_corpus(path) == sentences


@given(line=st.text(st.sampled_from("ab/ &;slh\t")))
@settings(max_examples=200)
def test_sentence(line: str) -> None:
    """A line is taken if and only if each of its tokens is a word, or a word and a tag; nothing of it gets lost."""
    tokens = [token.rpartition("/") for token in line.split(" ")]
    well_formed = all((word and tag) if slash else tag for word, slash, tag in tokens)
    try:
        sentence = parse_sentence(line, "file:7")
    except InputError as error:
        assert not well_formed and str(error).startswith("file:7: ")
        return
    assert well_formed
    assert [tag for tag in sentence.tags] == [
        tag.replace("&slash;", "/") if slash else None for _, slash, tag in tokens
    ]
    assert parse_sentence(str(sentence), "again") == sentence


@given(data=text_files(LEXICON, GLOVE))
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(data=b"1 99999999999999999999\na 1\n")
@example(data=b"9" * 5000 + b" 2\na 1 2\n")
@example(data=b"a 3e38\nb 3e38\n")
def test_lexicon(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    vectors = load_or_complain(read_lexicon, path, data.count(b"\n") + 1)
    if vectors is None:
        return
    assert set(SPECIAL_ROWS) <= set(vectors.words)
    assert len(set(vectors.words)) == len(vectors.words) == len(vectors.matrix)
    assert vectors.matrix.ndim == 2 and vectors.matrix.shape[1] > 0 and vectors.matrix.isfinite().all()


@pytest.mark.parametrize("original", [CORPUS, LEXICON, GLOVE], ids=["corpus", "lexicon", "GloVe"])
def test_originals_load(original: bytes, path: Path) -> None:
    """The changes start from something that loads."""
    path.write_bytes(original)
    assert (read_corpus if original == CORPUS else read_lexicon)(path)


# Models and checkpoints


def make_tagger(kind: str, **sizes: int) -> Tagger:
    sentences = [Sentence(("the", "dog", "barks"), ("D", "N", "V")), Sentence(("it",), (None,))]
    lexicon = Lexicon.from_corpus(sentences)
    if kind == "crf_neural":
        vectors = WordVectors(["OOL", "the", "BOS", "EOS"], torch.eye(4, 3))
        lexicon = Lexicon.from_corpus(sentences, [vectors], one_hot=True, tag_frequencies=True, word_shapes=True)
    return tagger_class(kind)(Integerizer(["D", "N", "V"]), lexicon, **sizes)


@functools.cache
def model_files() -> dict[str, bytes]:
    """Valid files to change, by what they are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tagger("hmm").save(folder / "hmm", commonest_tag="N")
        sizes = dict(rnn_dim=2, transition_features=2, emission_features=2, tag_dim=2)
        make_tagger("crf_neural", **sizes).save(folder / "crf_neural", training=dict(epochs=2))
        state = State(sentences=7, best_loss=math.inf, order_sizes=[2, 1], history=[dict(loss=1.5)])
        state.put("order", {"sentences": torch.tensor([2, 0, 1])})
        state.save(folder / "checkpoint", plan=dict(kind="hmm"))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def load_any(path: Path) -> Tagger | tuple[State, dict[str, Any]] | None:
    """The file as a model and as a checkpoint; at most one of the two."""
    tagger, state = load_or_complain(Tagger.load, path), load_or_complain(State.load, path)
    assert tagger is None or state is None
    return tagger or state


def split(file: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file as its header and its data."""
    (length,) = struct.unpack("<Q", file[:8])
    return json.loads(file[8 : 8 + length]), file[8 + length :]


def joined(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


# No numbers between: a size of 100,000 is asked of the machine before anything tells that the file is too short for it.
NUMBERS = st.integers(-3, 300) | st.integers(10**14, 10**25) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """The JSON value with one part of it, at any depth, replaced, taken out, doubled or added."""
    keys = sorted(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    if not keys or draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    key = draw(st.sampled_from(keys))
    copy = value.copy()
    action = draw(st.sampled_from(["descend"] * 6 + ["remove", "double", "exchange"]))
    if action == "descend":
        copy[key] = draw(altered(value[key]))
    elif action == "remove":
        del copy[key]
    elif action == "exchange":
        copy[key] = value[draw(st.sampled_from(keys))]
    elif isinstance(copy, dict):
        copy[key + draw(st.sampled_from(["", "x", ".matrix", "\n"]))] = value[key]
    else:
        copy.insert(key, value[key])
    return copy


KINDS = st.sampled_from(["hmm", "crf_neural", "checkpoint"])
fuzz_files = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_original_models_load(path: Path) -> None:
    for kind, file in model_files().items():
        path.write_bytes(file)
        loaded = load_any(path)
        assert loaded[0].sentences == 7 if kind == "checkpoint" else loaded.kind == kind
        path.write_bytes(joined(*split(file)))
        assert load_any(path) is not None


@given(data=st.binary(max_size=80))
@fuzz_files
@example(data=struct.pack("<Q", 2) + b"{}")
@example(data=struct.pack("<Q", 2**63) + b"{}")
@example(data=joined({"__metadata__": {FORMAT: "[" * 100_000}}, b""))
def test_model_of_any_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert load_any(path) is None


@given(kind=KINDS, data=st.data())
@fuzz_files
def test_model_with_changed_bytes(path: Path, kind: str, data: st.DataObject) -> None:
    path.write_bytes(data.draw(changed(model_files()[kind])))
    load_any(path)


@given(kind=KINDS, data=st.data())
@fuzz_files
def test_model_with_changed_tensors(path: Path, kind: str, data: st.DataObject) -> None:
    """Names, types, shapes and places of the tensors."""
    header, content = split(model_files()[kind])
    metadata = header.pop("__metadata__")
    header = data.draw(altered(header))
    path.write_bytes(joined({"__metadata__": metadata, **header} if isinstance(header, dict) else header, content))
    load_any(path)


@given(kind=KINDS, data=st.data())
@fuzz_files
def test_model_with_changed_header(path: Path, kind: str, data: st.DataObject) -> None:
    """What the JSON says of the model. If it loads, it is a whole model: it tags, and can be saved and loaded again."""
    header, content = split(model_files()[kind])
    ours = data.draw(altered(json.loads(header["__metadata__"][FORMAT])))
    header["__metadata__"][FORMAT] = json.dumps(ours)
    path.write_bytes(joined(header, content))
    loaded = load_any(path)
    if isinstance(loaded, Tagger):
        assert all(isinstance(tag, str) for tag in loaded.tagset)
        corpus = IntegerizedCorpus([Sentence(("The", "zebra"), ("D", "N"))], loaded.lexicon.vocab, loaded.tagset)
        assert loaded(corpus.batch(torch.tensor([0]))).argmax.shape == (1, 2)
        loaded.save(path, **loaded.more)
        assert Tagger.load(path).kind == loaded.kind


class Armed:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("form", [*range(pickle.HIGHEST_PROTOCOL + 1), "torch", "torch before 1.6"])
def test_pickles_are_not_executed(form: int | str, tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "stranger.model"
    if isinstance(form, int):
        path.write_bytes(pickle.dumps(Armed(marker), form))
    else:
        torch.save(Armed(marker), path, _use_new_zipfile_serialization=form == "torch")
    assert load_any(path) is None
    assert not marker.exists()
    with pytest.raises(InputError, match="pickle" if form not in (0, 1) else "not a model file"):
        Tagger.load(path)
    torch.load(path, weights_only=False) if isinstance(form, str) else pickle.loads(path.read_bytes())
    assert marker.exists()  # it was armed
