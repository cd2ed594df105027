"""The command line as a user runs it: exit status, what goes to which stream, and which files are there afterwards.

Most tests call tag.main in this process, in a folder of small corpora; what only a process can show (its exit status, a
traceback, signals, pipes, another hash seed) is shown by one.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import command_line
import defaults
import learn
import options
import tag
import training
from command_line import (
    CODE,
    CORPORA,
    RUN,
    SHORT,
    Call,
    SignalAt,
    arguments_for,
    assert_one_line_error,
    contents,
    environment_with,
    interrupt,
    metrics,
    process,
    same_weights,
    weights,
    words,
)
from corpus import InputError, Sentence, read_corpus
from decoders import DECODERS
from plan import Plan, find, make_plan, model_argument
from tagger import KINDS, Tagger, read_tensors, write_tensors

folder, call = command_line.folder, command_line.call  # fixtures
unix = pytest.mark.skipif(os.name == "nt", reason="signals, limits and pipes of Unix")


# --model: a kind, a file, a file to be trained


@pytest.mark.parametrize("kind", KINDS)
def test_kind_trains_saves_and_tags(kind: str, call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in (defaults.AWESOME, defaults.WORD_VECTORS):
        monkeypatch.setitem(preset, "lexicon", [])  # which are large
    longer = ["--max_steps", "2400", "--eval_interval", "600", "--restarts", "0", "--lr", "0.1"]
    outcome = call("toydev", "--model", kind, *longer)
    assert outcome.status == 0
    new = {
        "model": f"{kind}_toysup.model",
        "output": f"{kind}_toysup_toydev.output",
        "eval": f"{kind}_toysup_toydev.eval",
    }
    assert set(contents(folder)) == {*CORPORA, *new.values()}
    assert all(name in outcome.err for name in new.values())  # told at the end
    assert Tagger.load(new["model"]).kind == kind
    assert words(new["output"]) == words("toydev")
    gold, found = (Path(name).read_text().split() for name in ("toydev", new["output"]))
    assert sum(map(str.__eq__, gold, found)) / len(gold) > 0.8
    assert all(line in Path(new["eval"]).read_text() for line in outcome.out.splitlines())


@pytest.mark.parametrize("kind", ["hmm", "crf_neural"])
def test_file_is_loaded(kind: str, call: Call, folder: Path) -> None:
    call("toydev", "--model", kind, *SHORT)
    model = folder / f"{kind}_toysup.model"
    before = model.read_bytes(), Path(f"{kind}_toysup_toydev.output").read_bytes()
    (folder / "toysup").unlink()  # nothing of it is needed
    outcome = call("toydev", "--model", model.name)
    assert outcome.status == 0 and "epoch" not in outcome.err
    assert (model.read_bytes(), Path(f"{kind}_toysup_toydev.output").read_bytes()) == before


@pytest.mark.parametrize("name", ["X.pkl", "folder/my", "my.model"])
def test_file_with_train_is_trained(name: str, call: Call, folder: Path) -> None:
    """The homework's way. The suffix means nothing: what is written is safetensors."""
    (folder / "folder").mkdir()
    outcome = call("toydev", "--train", "toysup", "--crf", "--model", name, *SHORT)
    assert outcome.status == 0
    assert Tagger.load(name).kind == "crf_backprop"
    stem = name.split(".")[0]
    assert words(f"{stem}_toydev.output") == words("toydev") and Path(f"{stem}_toydev.eval").exists()


def test_train_without_model(call: Call) -> None:
    assert call("toydev", "--train", "toysup").status == 0
    assert Tagger.load("hmm_toysup.model").kind == "hmm"


@pytest.mark.parametrize(
    "name, nearest", [("crf_nueral", "crf_neural"), ("HMM", "hmm"), ("crf_back_prop", "crf_backprop"), ("", "hmm")]
)
def test_neither_kind_nor_file(name: str, nearest: str, call: Call, folder: Path) -> None:
    before = contents(folder)
    outcome = call("toydev", "--model", name)
    assert_one_line_error(outcome, f"did you mean {nearest}?" if name else "did you mean")
    assert contents(folder) == before


def test_file_without_dot_or_slash(call: Call, folder: Path) -> None:
    call("toydev", "--model", "hmm")
    (folder / "hmm_toysup.model").rename("model")
    assert call("toydev", "--model", "model").status == 0


def test_no_model(call: Call) -> None:
    assert_one_line_error(call("toydev"), "--model KIND", "--model FILE")


# Corpora by default


def test_training_corpus_is_the_prefixs(call: Call, folder: Path) -> None:
    call("toytest", "--model", "hmm", "--metrics", "m.json")
    assert metrics()["train"] == ["toysup"]
    (folder / "unnamed").write_text(CORPORA["toytest"])
    assert_one_line_error(call("unnamed", "--model", "hmm"), "unnamed", "--train")
    assert call("unnamed", "--model", "hmm", "--train", "toysup", "toydev", "--metrics", "m.json").status == 0
    assert metrics()["train"] == ["toysup", "toydev"] and Path("hmm_toysup+toydev.model").exists()


@pytest.mark.parametrize(
    "arguments, without, watched",
    [
        (["toydev"], [], "toydev"),
        (["toytest"], [], "toydev"),
        (["toytest"], ["toydev"], "the last tenth of the training sentences"),
        (["toytest", "--dev", "other"], [], "other"),
        (["toydev", "--dev", "other"], [], "other"),
        (["folder/mydev", "--train", "toysup"], [], "folder/mydev"),
    ],
)
def test_development_corpus(arguments: list[str], without: list[str], watched: str, call: Call, folder: Path) -> None:
    (folder / "other").write_text(CORPORA["toydev"])
    (folder / "folder").mkdir()
    (folder / "folder" / "mydev").write_text(CORPORA["toydev"])
    for name in without:
        (folder / name).unlink()
    outcome = call(*arguments, "--model", "hmm", "--metrics", "m.json")
    assert outcome.status == 0
    lines = [line for line in outcome.err.splitlines() if line.startswith("early stopping watches ")]
    assert len(lines) == 1 and lines[0].startswith(f"early stopping watches {watched}")
    assert metrics()["dev"].startswith(watched)


def test_last_tenth_is_not_trained_on(call: Call, folder: Path) -> None:
    lines = CORPORA["toysup"].splitlines()
    lines[53:55] = ["the/D inside/N run/V", "the/D outside/N run/V"]  # the last tenth of 60 begins with the 55th
    (folder / "newsup").write_text("\n".join(lines))
    (folder / "newtest").write_text("the/D inside/N run/V\nthe/D outside/N run/V\n")
    call("newtest", "--model", "hmm", "--metrics", "m.json")
    assert metrics()["counts"] == {"all": 6, "known": 5, "seen": 0, "novel": 1}


def test_tags_of_another_input_are_not_looked_at(call: Call, folder: Path) -> None:
    """Neither in training nor in tagging: wrong tags in INPUT change the score alone."""
    call("toytest", "--model", "crf_backprop", *SHORT, "--save", "one.model", "--metrics", "one.json")
    (folder / "toytest").write_text(re.sub(r"/[A-Z]\b", "/V", CORPORA["toytest"]))
    call("toytest", "--model", "crf_backprop", *SHORT, "--save", "two.model", "--metrics", "two.json")
    assert same_weights("one.model", "two.model")
    assert Path("one_toytest.output").read_bytes() == Path("two_toytest.output").read_bytes()
    assert metrics("one.json")["accuracy"]["all"] > 0.8 > 0.5 > metrics("two.json")["accuracy"]["all"]


# Outputs


def test_names_of_outputs(call: Call, folder: Path) -> None:
    (folder / "models").mkdir()
    call("toydev", "--model", "hmm", "--save", "models/my.model")
    assert {"models/my.model", "models/my_toydev.output", "models/my_toydev.eval"} < set(contents(folder))
    before = set(contents(folder))
    call("toytest", "--model", "models/my.model", "-o", "tagging", "-e", "scores", "--metrics", "m.json")
    assert set(contents(folder)) - before == {"tagging", "scores", "m.json"}


def test_eval_file_is_appended_to(call: Call) -> None:
    call("toydev", "--model", "hmm", "-e", "scores")
    first = Path("scores").read_text()
    assert call("toydev", "--model", "hmm_toysup.model", "-e", "scores").status == 0
    both = Path("scores").read_text()
    assert both.startswith(first) and both.count("accuracy") == 2


def test_output_is_the_input_with_tags(call: Call, folder: Path) -> None:
    """One line a sentence, in order, words spelled as they were; empty lines are no sentences."""
    call("toydev", "--model", "hmm")
    (folder / "mixed").write_bytes("\ufeffA&slash;B/X the Ünï/Y\r\n\r\nthe\ndog/N run 1&slash;2/J&slash;K".encode())
    assert call("mixed", "--model", "hmm_toysup.model").status == 0
    lines = Path("hmm_toysup_mixed.output").read_bytes().decode()
    assert re.sub(r"/[DJNV](?=[ \n])", "", lines) == "A&slash;B the Ünï\nthe\ndog run 1&slash;2\n"


def test_standard_input(call: Call, folder: Path) -> None:
    """The tagging goes to standard output, the rest to standard error, and no file is written."""
    call("toydev", "--model", "hmm")
    before = contents(folder)
    outcome = call("-", "--model", "hmm_toysup.model", stdin=CORPORA["toytest"].encode())
    assert outcome.status == 0
    assert [line.split() for line in re.sub("/[A-Z]", "", outcome.out).splitlines()] == [
        line.split() for line in re.sub("/[A-Z]", "", CORPORA["toytest"]).splitlines()
    ]
    assert "accuracy" in outcome.err and "cross-entropy" in outcome.err
    assert contents(folder) == before


@pytest.mark.parametrize(
    "stdin, arguments, tagged",
    [
        (b"the dog run", [], "the/D dog/N run/V\n"),
        (b"the/X dog run/Y\r\n\r\nthe cat\r\n", [], "the/D dog/N run/V\nthe/D cat/N\n"),
        (b"\xef\xbb\xbfthe dog run\n", [], "the/D dog/N run/V\n"),
        (b"the/dog run\n", ["--untagged"], "the&slash;dog/{} run/{}\n"),
        (b"the 1&slash;2 dog run/ /\n", ["--untagged"], "the/D 1&slash;2/J dog/N run&slash;/{} &slash;/{}\n"),
        (b"the 1&slash;2 dog", [], "the/D 1&slash;2/J dog/N\n"),
    ],
)
def test_tokens_of_standard_input(stdin: bytes, arguments: list[str], tagged: str, call: Call) -> None:
    call("toydev", "--model", "hmm")
    outcome = call("-", "--model", "hmm_toysup.model", *arguments, stdin=stdin)
    assert outcome.status == 0
    assert re.fullmatch(re.escape(tagged).replace(r"\{\}", "[DJNV]"), outcome.out), outcome.out


def test_standard_input_into_a_file(call: Call) -> None:
    call("toydev", "--model", "hmm")
    outcome = call("-", "--model", "hmm_toysup.model", "-o", "tagging", stdin=b"the dog run")
    assert (outcome.status, outcome.out, Path("tagging").read_text()) == (0, "", "the/D dog/N run/V\n")


def test_quiet(call: Call) -> None:
    """Only the scores."""
    outcome = call("toydev", "--model", "crf_backprop", *SHORT, "-q")
    assert (outcome.status, outcome.err) == (0, "")
    assert [line.split()[0] for line in outcome.out.splitlines()] == [
        "cross-entropy",
        "accuracy",
        "training",
        "tagging",
    ]


def test_progress(call: Call) -> None:
    """Each evaluation tells cross-entropy and perplexity."""
    outcome = call("toydev", "--model", "crf_backprop", *SHORT, "--metrics", "m.json")
    found = re.findall(r"([\d,]+) sentences: dev cross-entropy ([\d.]+) nats a token, perplexity ([\d.]+)", outcome.err)
    assert [int(sentences) for sentences, _, _ in found] == [60, 120, 180, 240]
    for (_, entropy, perplexity), look in zip(found, metrics()["history"]):
        assert float(entropy) == pytest.approx(look["loss"], abs=1e-4)
        assert float(perplexity) == pytest.approx(math.exp(look["loss"]), rel=1e-3)


@unix
@pytest.mark.parametrize(
    "arguments, environment, bars",
    [
        ([], {}, True),
        (["-q"], {}, False),
        ([], {"TQDM_DISABLE": "1"}, False),
    ],
)  # fmt: skip
def test_progress_bars(arguments: list[str], environment: dict[str, str], bars: bool, folder: Path) -> None:
    """On a terminal, unless they are not wanted."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, CODE / "tag.py", "toydev", "--model", "hmm", "--threads", "1", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment_with(**environment)
    ) as run:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # which is how the end of a terminal shows
            while piece := os.read(ours, 4096):
                shown += piece
    os.close(ours)
    assert run.returncode == 0 and (b"%|" in shown) == bars, shown


def test_verbose(call: Call, folder: Path) -> None:
    call("toydev", "--model", "hmm")
    (folder / "wrong").write_text("the/D dog/V run/V\nthe/D cat/V run/V\nthe/J cat/N run/V\n")
    outcome = call("wrong", "--model", "hmm_toysup.model", "-v")
    table = [line.split() for line in outcome.err.splitlines()]
    assert ["V", "N", "2", "66.7%"] in table and ["J", "D", "1", "33.3%"] in table


# Metrics


class Known(NamedTuple):
    """A type of a field of the metrics."""

    type: type | tuple[type, ...]
    nullable: bool = False


FIELDS = {
    "model": Known(str), "train": Known(list), "dev": Known(str), "input": Known(str), "tokens": Known(int),
    "sentences": Known(int), "cross_entropy": Known(float, True), "conditional_cross_entropy": Known(float, True),
    "perplexity": Known(float, True), "accuracy": Known(dict), "f1": Known(float, True), "train_seconds": Known(float),
    "train_tokens_per_second": Known(float), "tag_tokens_per_second": Known(float), "epochs": Known(int),
    "seed": Known(int), "parameters": Known(int), "decoder": Known(str), "energy": Known(float, True),
    "viterbi_energy": Known(float), "search_error": Known(float, True), "relaxed_energy": Known(float, True),
}  # fmt: skip


def assert_well_formed(report: dict[str, Any]) -> None:
    for name, known in FIELDS.items():
        value = report[name]
        assert (value is None and known.nullable) or (isinstance(value, known.type) and value is not True), name
    assert list(report["accuracy"]) == ["all", "known", "seen", "novel"]
    assert all(value is None or 0 <= value <= 1 for value in report["accuracy"].values())
    assert min(report["train_seconds"], report["train_tokens_per_second"], report["tag_tokens_per_second"]) > 0


@pytest.mark.parametrize("kind", ["hmm", "crf_backprop"])
@pytest.mark.parametrize("decoder", list(DECODERS))
def test_metrics_are_those_of_the_output(kind: str, decoder: str, call: Call) -> None:
    outcome = call(
        "toytest", "--model", kind, *SHORT, "--decoder", decoder, "--seed", "7", "-o", "tagging", "--metrics", "m.json"
    )
    assert outcome.status == 0
    report = metrics()
    assert_well_formed(report)
    gold, found = ([t for s in read_corpus(name) for t in s.tags] for name in ("toytest", "tagging"))
    in_training = {word for sentence in words("toysup") for word in sentence}
    tokens = [word for sentence in words("toytest") for word in sentence]
    novel = [not {word, word.lower()} & in_training for word in tokens]
    right = [a == b for a, b in zip(gold, found)]
    accuracy = {
        "all": sum(right) / len(gold),
        "known": sum(r for r, n in zip(right, novel) if not n) / novel.count(False),
        "seen": None,
        "novel": sum(r for r, n in zip(right, novel) if n) / novel.count(True),
    }
    assert report["accuracy"] == accuracy and novel.count(True) == 3
    assert (report["model"], report["train"], report["dev"], report["input"]) == (kind, ["toysup"], "toydev", "toytest")
    assert (report["tokens"], report["sentences"]) == (len(gold), len(words("toytest")))
    assert (report["seed"], report["decoder"], report["f1"]) == (7, decoder, None)
    exact = decoder in ("viterbi", "restricted", "beam")  # a beam of 4 is wider than this tagset
    assert report["search_error"] == pytest.approx(0, abs=1e-4) if exact else report["search_error"] > -1e-4
    assert report["search_error"] == pytest.approx(report["energy"] - report["viterbi_energy"], abs=1e-4)
    assert (report["relaxed_energy"] is None) == (decoder not in ("gradient_descent", "mean_field"))
    assert report["perplexity"] == pytest.approx(math.exp(report["cross_entropy"]))
    if kind == "hmm":
        assert report["conditional_cross_entropy"] < report["cross_entropy"]
    else:
        assert report["conditional_cross_entropy"] == pytest.approx(report["cross_entropy"])
    assert f"all {accuracy['all']:.2%}" in outcome.out and f"novel {accuracy['novel']:.2%}" in outcome.out


def hmm_cross_entropy(train: list[Sentence], test: list[Sentence], smoothing: float) -> float:
    """-log p(tags, words) a token, EOS counted, by the relative frequencies themselves."""
    bigrams, emissions = Counter(), Counter()
    for sentence in train:
        bigrams.update(zip(("BOS", *sentence.tags), (*sentence.tags, "EOS")))
        emissions.update(zip(sentence.tags, sentence.words))
    vocabulary = {word for _, word in emissions}
    tagset = {tag for tag, _ in emissions}
    known = lambda word: word if word in vocabulary else word.lower() if word.lower() in vocabulary else "OOV"
    total = 0.0
    for sentence in test:
        for s, t in zip(("BOS", *sentence.tags), (*sentence.tags, "EOS")):
            after = sum(count for (first, _), count in bigrams.items() if first == s)
            outcomes = len(tagset) + (s != "BOS")  # no sentence is empty
            total -= math.log((bigrams[s, t] + smoothing) / (after + smoothing * outcomes))
        for t, word in zip(sentence.tags, sentence.words):
            times = sum(count for (tag, _), count in emissions.items() if tag == t)
            outcomes = len(vocabulary) + 1  # and OOV
            total -= math.log((emissions[t, known(word)] + smoothing) / (times + smoothing * outcomes))
    return total / sum(len(sentence) + 1 for sentence in test)


def test_cross_entropy_of_an_hmm(call: Call) -> None:
    call("toytest", "--model", "hmm", "--lambda", "0.5", "--metrics", "m.json")
    expected = hmm_cross_entropy(read_corpus("toysup"), read_corpus("toytest"), 0.5)
    assert metrics()["cross_entropy"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["hmm", "crf_backprop"])
def test_metrics_of_raw_text(kind: str, call: Call, folder: Path) -> None:
    """log p(words) for the HMM; for the CRF there is nothing to score."""
    (folder / "toyraw").write_text("the dog run\nevery cat sees a tree\n")
    call("toyraw", "--model", kind, *SHORT, "--metrics", "m.json")
    report = metrics()
    assert_well_formed(report)
    assert report["accuracy"] == dict.fromkeys(("all", "known", "seen", "novel"))
    assert report["conditional_cross_entropy"] is None
    if kind == "hmm":
        call("hmm_toysup_toyraw.output", "--model", "hmm_toysup.model", "--metrics", "tagged.json")
        assert 0 < report["cross_entropy"] < metrics("tagged.json")["cross_entropy"]  # one tagging of many
    else:
        assert report["cross_entropy"] is report["perplexity"] is None


def test_metrics_of_a_model_saved_without_history(call: Call) -> None:
    call("toydev", "--model", "hmm")
    Tagger.load("hmm_toysup.model").save("bare.model")
    outcome = call("toydev", "--model", "bare.model", "--metrics", "m.json")
    assert outcome.status == 0 and set(FIELDS) <= set(metrics()) and metrics()["train_seconds"] is None


def test_span_f1(call: Call, folder: Path) -> None:
    """Words that have one tag each are tagged so: three of four gold spans are found, three of four found are right."""
    (folder / "spansup").write_text(
        "Ann/S-PER met/O New/B-LOC York/E-LOC ./O\nYork/E-LOC met/O Ann/S-PER New/B-LOC\n" * 5
    )
    (folder / "spandev").write_text("Ann/S-PER met/O New/B-LOC York/E-LOC ./O\nNew/B-LOC York/E-LOC met/S-PER Ann/O\n")
    outcome = call("spandev", "--model", "hmm", "--lambda", "1e-6", "--metrics", "m.json")
    assert Path("hmm_spansup_spandev.output").read_text().splitlines()[1] == "New/B-LOC York/E-LOC met/O Ann/S-PER"
    assert metrics()["f1"] == pytest.approx(2 * 3 / (4 + 4)) and "span F1        75.00%" in outcome.out


@pytest.mark.parametrize("how", ["raw text", "lexicon"])
def test_seen_words(how: str, call: Call, folder: Path) -> None:
    """Words that are in untagged training text, or in the lexicon, and in no tagged training token."""
    (folder / "toyraw").write_text("the zebra sees a zebra\n" * 3)
    (folder / "vectors.txt").write_text("zebra 1 0\nthe 0 1\ndog 1 1\n")
    if how == "raw text":
        arguments = ["--model", "hmm", "--train", "toysup", "toyraw", "--max_steps", "200"]
    else:
        arguments = ["--model", "crf_backprop", "--lexicon", "vectors.txt", *SHORT]
    outcome = call("toytest", *arguments, "--metrics", "m.json")
    assert outcome.status == 0
    counts = metrics()["counts"]
    assert (counts["seen"], counts["novel"]) == (2, 1) and counts["known"] == counts["all"] - 3  # novel: 3/4


@pytest.mark.parametrize("kind", ["hmm", "crf_backprop"])
def test_viterbi_error_is_watched(kind: str, call: Call) -> None:
    call("toydev", "--model", kind, *SHORT, "--loss", "viterbi_error", "--metrics", "m.json")
    report = metrics()
    watched = [look["loss"] for look in report["history"]]
    assert min(watched) == pytest.approx(1 - report["accuracy"]["all"])
    assert all(error * report["tokens"] == pytest.approx(round(error * report["tokens"])) for error in watched)


# What the model cannot score


def test_impossible_sentences(call: Call, folder: Path) -> None:
    """Without smoothing: each word its commonest training tag, novel words the commonest of all."""
    (folder / "oddsup").write_text("a/D b/N c/V\na/D b/N\na/D b/V c/N\nc/N\n")  # b: N, c: N, all: N
    (folder / "odddev").write_text("a/D b/N\nc/V a/N\nnew/V C/N\na/D new/D\na/D b/N\n")
    outcome = call("odddev", "--model", "hmm", "--lambda", "0", "--metrics", "m.json")
    assert outcome.status == 0
    assert Path("hmm_oddsup_odddev.output").read_text() == "a/D b/N\nc/N a/D\nnew/N C/N\na/D new/N\na/D b/N\n"
    warnings = [line for line in outcome.err.splitlines() if "warning" in line]
    assert len(warnings) == 1 and "3 sentences" in warnings[0]
    report = metrics()
    assert_well_formed(report)
    assert report["cross_entropy"] is report["conditional_cross_entropy"] is report["perplexity"] is None
    assert report["accuracy"]["all"] == 6 / 10
    assert "inf nats a token" in outcome.out
    again = call("odddev", "--model", "hmm_oddsup.model", "-o", "again")
    assert again.status == 0 and Path("again").read_text() == Path("hmm_oddsup_odddev.output").read_text()


@pytest.mark.parametrize("kind", ["hmm", "crf_backprop"])
def test_gold_tags_never_seen(kind: str, call: Call, folder: Path) -> None:
    (folder / "strange").write_text("the/D dog/N run/V\nthe/NEW dog/N run/NEWER\n")
    call("toydev", "--model", kind, *SHORT)
    outcome = call("strange", "--model", f"{kind}_toysup.model", "--metrics", "m.json")
    assert outcome.status == 0
    warnings = [line for line in outcome.err.splitlines() if "warning" in line]
    assert len(warnings) == 1 and "2 tokens" in warnings[0] and "strange" in warnings[0]
    right = Path(f"{kind}_toysup_strange.output").read_text().split()
    assert metrics()["accuracy"]["all"] == sum(map(str.__eq__, right, Path("strange").read_text().split())) / 6 <= 4 / 6
    assert math.isfinite(metrics()["cross_entropy"])


# Bad input


def bad_files(folder: Path) -> None:
    """Files that something is wrong with, and good ones to be used with them."""
    texts = {
        "empty": "", "blanksup": "\n  \n\r\n", "onesup": "the/D dog/N\n", "rawsup": "the dog\na cat\n",
        "rawdev": "the dog\n", "badsup": "the/D dog/N\n\nthe/D  dog/N\n", "badtag": "the/D dog/\n",
        "oddsup": CORPORA["toysup"], "odddev": "the/D dog/N\nthe/D /N\n",
        "empty.txt": "", "rows.txt": "3 2\na\t1\t2\nb\t1\t2\n",
        "short.txt": "2 2\na\t1\t2\nb\t1\n", "nan.txt": "1 2\na\t1\tnan\n", "text.model": "the/D dog/N\n",
        "empty.model": "", "oddtest": CORPORA["toytest"], "onetest": CORPORA["toytest"],
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "latin").write_bytes("the/D\ncafé/N\n".encode("latin-1"))
    (folder / "latin.txt").write_bytes("the 1\ncafé 2\n".encode("latin-1"))
    (folder / "pickle.model").write_bytes(pickle.dumps({"weights": [1.0]}))
    torch.save({"weights": torch.zeros(3)}, folder / "torch.model")
    (folder / "folder").mkdir()
    assert tag.main(["toydev", "--model", "hmm", "--save", "hmm.model", "-q"]) == 0
    assert tag.main(["toydev", "--model", "crf", "--save", "crf.model", *SHORT, "-q"]) == 0
    (folder / "cut.model").write_bytes((folder / "hmm.model").read_bytes()[:-10])
    header, tensors = read_tensors("hmm.model")
    write_tensors("newer.model", tensors, {**header, "version": 99})


BAD = {
    "no input": (["nothing", "-m", "hmm.model"], "nothing: "),
    "no input in a folder": (["folder/nothing", "-m", "hmm.model"], "folder/nothing: No such file"),
    "folder as input": (["folder", "-m", "hmm.model"], "folder: "),
    "name too long": (["x" * 300, "-m", "hmm.model"], "xxx"),
    "empty input": (["empty", "-m", "hmm.model"], "empty: no sentence"),
    "no input, but training": (["blanktest", "-m", "hmm"], "blanktest: no such file"),
    "blank training": (["toydev", "-m", "hmm", "-t", "blanksup"], "blanksup: no sentence"),
    "malformed input": (["badtag", "-m", "hmm.model"], "badtag:1: malformed token 'dog/'"),
    "malformed training": (["toydev", "-m", "hmm", "-t", "toysup", "badsup"], "badsup:3: malformed token ''"),
    "malformed dev": (["toytest", "-m", "hmm", "--dev", "odddev"], "odddev:2: malformed token '/N'"),
    "malformed dev of the prefix": (["oddtest", "-m", "hmm"], "odddev:2: malformed token '/N'"),
    "not UTF-8": (["latin", "-m", "hmm.model"], "latin:2: not UTF-8"),
    "name without prefix": (["oddsup", "-m", "hmm", "-t", "toysup", "latin"], "latin:2: not UTF-8"),
    "no training corpus of the prefix": (["rawdev", "-m", "hmm", "-t", "nosup"], "nosup: no such file"),
    "missing training corpus": (["toydev", "-m", "hmm", "-t", "latinsup"], "latinsup: no such file"),
    "missing dev": (["toydev", "-m", "hmm", "--dev", "latindev"], "latindev: no such file"),
    "one sentence": (["toytest", "-m", "hmm", "-t", "onesup", "--dev", "empty"], "empty: no sentence"),
    "one sentence, no dev": (["onetest", "-m", "hmm"], "onesup: one sentence"),
    "no tag to train on": (["toydev", "-m", "crf", "-t", "rawsup"], "rawsup: no tagged token"),
    "no tag to watch": (["toytest", "-m", "crf", "--dev", "rawdev"], "rawdev: no tag"),
    "no lexicon": (["toydev", "-m", "crf_neural", "-l", "no.txt"], "no.txt: no such file"),
    "empty lexicon": (["toydev", "-m", "crf_neural", "-l", "empty.txt"], "empty.txt: no word vector"),
    "lexicon of fewer rows": (["toydev", "-m", "crf_neural", "-l", "rows.txt"], "rows.txt:1: the header promises 3"),
    "lexicon with a short row": (
        ["toydev", "-m", "crf_backprop", "-l", "short.txt"],
        "short.txt:3: expected a word and 2",
    ),
    "lexicon with nan": (["toydev", "-m", "crf_neural", "-l", "nan.txt"], "nan.txt:2: "),
    "lexicon not UTF-8": (["toydev", "-m", "crf_neural", "-l", "latin.txt"], "latin.txt:2: not UTF-8"),
    "lexicon for an hmm": (["toydev", "-m", "hmm", "-l", "words-50.txt"], "--lexicon"),
    "lexicon for a crf": (["toydev", "-m", "crf", "-l", "words-50.txt"], "--lexicon"),
    "rnn_dim for a crf": (["toydev", "-m", "crf", "-r", "5"], "--rnn_dim"),
    "hmm that is a crf": (["toydev", "-m", "hmm", "--crf"], "--crf"),
    "no model file": (["toydev", "-m", "no.model"], "no.model: No such file"),
    "folder as model": (["toydev", "-m", "folder"], "folder: "),
    "text as model": (["toydev", "-m", "text.model"], "text.model: not a model file"),
    "corpus as model": (["toydev", "-m", "toysup"], "toysup: not a model file"),
    "empty model": (["toydev", "-m", "empty.model"], "empty.model: not a model file"),
    "cut model": (["toydev", "-m", "cut.model"], "cut.model: not a model file"),
    "newer model": (["toydev", "-m", "newer.model"], "newer.model: a model file of version 99"),
    "pickle": (["toydev", "-m", "pickle.model"], "pickle.model: a pickle"),
    "torch's own format": (["toydev", "-m", "torch.model"], "torch.model: a pickle or a zip"),
    "no checkpoint": (["toydev", "-m", "crf", "-c", "no.checkpoint"], "no.checkpoint: No such file"),
    "text as checkpoint": (["toydev", "-m", "crf", "-c", "text.model"], "text.model: not a model file"),
    "pickle as checkpoint": (["toydev", "-m", "crf", "-c", "pickle.model"], "pickle.model: a pickle"),
    "start from another kind": (["toydev", "-m", "crf", "-c", "hmm.model"], "hmm.model: a model of kind hmm, not crf"),
    "start from another kind, --crf": (["toydev", "--crf", "-c", "hmm.model"], "hmm.model: a model of kind hmm"),
    "model in no folder": (["toydev", "-m", "hmm", "--save", "no/x.model"], "no/x.model: cannot be written"),
    "model over a folder": (["toydev", "-m", "hmm", "--save", "folder"], "folder: cannot be written"),
    "model in a file": (["toydev", "-m", "hmm", "--save", "toysup/x.model"], "toysup/x.model: cannot be written"),
    "output in no folder": (["toydev", "-m", "hmm", "-o", "no/output"], "no/output: cannot be written"),
    "output over a folder": (["toydev", "-m", "hmm", "-o", "folder"], "folder: cannot be written"),
    "eval in no folder": (["toydev", "-m", "hmm", "-e", "no/eval"], "no/eval: cannot be written"),
    "metrics in no folder": (["toydev", "-m", "hmm", "--metrics", "no/m.json"], "no/m.json: cannot be written"),
    "metrics of a loaded model": (["toydev", "-m", "hmm.model", "--metrics", "folder"], "folder: cannot be written"),
    "no such decoder": (["toydev", "-m", "hmm", "--decoder", "magic"], "--decoder"),
    "no such option": (["toydev", "-m", "hmm", "--magic"], "--magic"),
    "nothing": ([], "INPUT"),
}


def test_bad_input(call: Call, folder: Path) -> None:
    """One line that names the file (and the line), status 2, and no file written or changed."""
    bad_files(folder)
    before = contents(folder)
    for case, (arguments, fragment) in BAD.items():
        outcome = call(*arguments)
        assert outcome.out == "", case
        assert_one_line_error(outcome, fragment)
        assert contents(folder) == before, case


@pytest.mark.parametrize("case", ["malformed training", "pickle"])
def test_bad_input_to_a_process(case: str, folder: Path) -> None:
    bad_files(folder)
    before = contents(folder)
    arguments, fragment = BAD[case]
    done = process(*arguments)
    assert_one_line_error(done, fragment)
    assert done.stdout == "" and contents(folder) == before


@pytest.mark.parametrize(
    "stdin, message",
    [
        (b"the/D  dog/N\n", "standard input:1: malformed token"),
        (b"a\n\xff\n", "standard input:2: not UTF-8"),
        (b"", "standard input: no"),
    ],
)
def test_bad_standard_input(stdin: bytes, message: str, call: Call) -> None:
    call("toydev", "--model", "hmm")
    outcome = call("-", "--model", "hmm_toysup.model", stdin=stdin)
    assert_one_line_error(outcome, message)
    assert outcome.out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_such_device(call: Call) -> None:
    assert_one_line_error(call("toydev", "--model", "hmm", "--device", "cuda"), "--device cuda")


@unix
def test_model_is_not_put_in_place_of_a_pipe(call: Call, folder: Path) -> None:
    os.mkfifo("pipe")
    assert_one_line_error(call("toydev", "--model", "hmm", "--save", "pipe"), "pipe: ")
    assert (folder / "pipe").is_fifo()


@unix
@pytest.mark.parametrize("what", ["hmm_toysup.model", "hmm_toysup_toydev.output"])
def test_no_half_written_file(what: str, call: Call, folder: Path) -> None:
    """A file that cannot be written to its end: the old one stays, and no part of the new one."""
    (folder / "toydev").write_text(CORPORA["toydev"] * 20)
    assert call("toydev", "--model", "hmm").status == 0
    before = contents(folder)
    assert min(len(before[name]) for name in ("hmm_toysup.model", "hmm_toysup_toydev.output")) > 1024
    arguments = ["--model", "hmm"] if what.endswith("model") else ["--model", "hmm_toysup.model"]
    limit = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh"]  # a kilobyte at most
    done = process("toydev", *arguments, "-q", before=limit)
    assert_one_line_error(done, f"{what}: ")
    assert contents(folder) == before


# The range of each numeric option: what is just inside, and what is outside.
RANGES: dict[str, tuple[list[str], list[str]]] = {
    "--rnn_dim": (["0", "4096"], ["-1", "4097", "1.5"]),
    "--transition_features": (["1", "4096"], ["0", "4097", "2.0"]),
    "--emission_features": (["1", "4096"], ["0", "4097"]),
    "--tag_dim": (["0", "4096"], ["-1", "4097"]),
    "--word_dim": (["0", "4096"], ["-1", "4097"]),
    "--tag_rank": (["0", "4096"], ["-1", "4097"]),
    "--gem_steps": (["0", "1000"], ["-1", "1001"]),
    "--states": (["1", "10000"], ["0", "10001"]),
    "--window": (["1", "100"], ["0", "101"]),
    "--layers": (["1", "16"], ["0", "17"]),
    "--dropout": (["0", "0.99"], ["-0.1", "1"]),
    "--finetune_lr": (["0", "1"], ["-1", "1e7"]),
    "--finetune_from": (["1"], ["0", "1.5"]),
    "--kbest": (["1", "10000"], ["0", "10001"]),
    "--samples": (["1", "10000"], ["0", "10001"]),
    "--generate": (["1", "1000000"], ["0", "1000001"]),
    "--lambda": (["0", "1e-9", "1000"], ["-1e-9", "-1", "1e999"]),
    "--reg": (["0", "0.5"], ["-0.5", "1e999"]),
    "--lr": (["1e-12", "1e6"], ["0", "-0.1", "1e7"]),
    "--batch_size": (["1", "100000"], ["0", "-3", "100001", "1e3"]),
    "--max_steps": (["1", "9" * 400], ["0", "-1", "1e5"]),
    "--eval_interval": (["1"], ["0", "2.5"]),
    "--tolerance": (["0", "1"], ["-0.001", "1.001"]),
    "--patience": (["1"], ["0"]),
    "--restarts": (["0", "1000"], ["-1", "1001"]),
    "--seed": (["0", str(2**31)], ["-1", str(2**31 + 1)]),
    "--threads": (["1", "1024"], ["0", "1025"]),
}


@pytest.mark.parametrize("option", RANGES)
def test_ranges(option: str, call: Call, folder: Path) -> None:
    inside, outside = RANGES[option]
    for value in inside:
        options.parser().parse_args(["toydev", option, value])
    before = contents(folder)
    for value in [*outside, "nan", "NaN", "inf", "-inf", "x", "", "9" * 5000, "0x1"]:
        assert_one_line_error(call("toydev", "--model", "hmm", option, value), option)
    assert contents(folder) == before


# The homework's flags


def plan_of(*arguments: str) -> Plan:
    args = options.parser().parse_args(["endev", *arguments])
    return make_plan(args, *model_argument(args))


HOMEWORK = dict(lr=0.05, batch_size=30, max_steps=50_000, eval_interval=2_000, tolerance=1e-3, smoothing=0.0, seed=0)


@pytest.mark.parametrize(
    "flags, kind, sizes",
    [
        ([], "hmm", {}),
        (["--crf"], "crf_backprop", {}),
        (["--crf", "--rnn_dim", "0"], "crf_backprop", {}),
        (["--crf", "--rnn_dim", "8"], "crf_neural", {"rnn_dim": 8}),
        (["--crf", "-l", "words-50.txt"], "crf_neural", {"rnn_dim": 0}),
        (["--crf", "-l", "words-50.txt", "-r", "3"], "crf_neural", {"rnn_dim": 3}),
        (["--crf", "--problex"], "crf_neural", {"rnn_dim": 0}),
    ],
)
def test_homework_kind_and_defaults(flags: list[str], kind: str, sizes: dict[str, int]) -> None:
    plan = plan_of("-t", "ensup", "-m", "my.pkl", *flags)
    assert (plan.kind, plan.train, plan.save, plan.sizes) == (kind, ["ensup"], "my.pkl", sizes)
    settings = training.Settings(**plan.settings)
    assert {name: getattr(settings, name) for name in HOMEWORK} == HOMEWORK
    assert (settings.reg, settings.loss) == (0.0, "cross_entropy")
    if kind == "crf_backprop":  # SGD at a constant rate, on the sum over the minibatch
        assert (settings.optimizer, settings.sum_over_batch) == ("sgd", True)
        assert settings.learning_rate(0) == settings.learning_rate(49_000) == 0.05
    assert plan.lexicon == (["words-50.txt"] if "-l" in flags else []) and plan.one_hot == (
        not {"-l", "--problex"} & {*flags}
    )


def test_homework_flags_are_taken() -> None:
    plan = plan_of(*"-t ensup enraw --crf -m x.pkl --lr .2 --reg .3 --batch_size 5 --max_steps 70".split(),
                   *"--eval_interval 20 --tolerance .5 --loss viterbi_error --seed 4 -c old.pkl".split())  # fmt: skip
    settings = training.Settings(**plan.settings)
    assert plan.train == ["ensup", "enraw"] and plan.start == "old.pkl"
    assert (settings.lr, settings.reg, settings.batch_size, settings.max_steps) == (0.2, 0.3, 5, 70)
    assert (settings.eval_interval, settings.tolerance, settings.loss, settings.seed) == (20, 0.5, "viterbi_error", 4)
    for spelling in ("-λ", "--lambda"):
        assert plan_of("-t", "ensup", spelling, "0.7").settings["smoothing"] == 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_of_a_kind(kind: str) -> None:
    plan = plan_of("--model", kind)
    sizes = {name: value for name, value in defaults.AWESOME.items() if name in defaults.SIZES}
    assert (plan.kind, plan.train, plan.save) == (kind, ["ensup"], f"{kind}_ensup.model")
    assert plan.sizes == (sizes if kind == "awesome" else {})
    settings = training.Settings(**plan.settings)
    assert not settings.sum_over_batch
    if kind != "hmm":
        assert settings.optimizer == "adamw"
    assert plan_of("--model", kind, "--max_steps", "77").settings["max_steps"] == 77
    in_help = options.parser().format_help().split("as tuned on endev:")[1].splitlines()
    in_help = next(line for line in in_help if line.split()[:1] == [kind])
    shown = ("lambda", settings.smoothing) if kind == "hmm" else ("lr", settings.lr)
    assert f"{shown[0]} {shown[1]}" in in_help


def test_homework_training_is_the_sum_over_the_batch(call: Call) -> None:
    """One SGD step on the sum is one with the learning rate times the batch size on the mean."""
    one_step = ["--max_steps", "20", "--eval_interval", "20", "--batch_size", "20", "--restarts", "0"]
    call("toydev", "-t", "toysup", "--crf", "-m", "sum.pkl", *one_step, "--lr", ".01")
    mean = training.Settings(optimizer="sgd", lr=0.2, schedule="constant", warmup=0.0, clip=0.0)
    by_mean = {name: getattr(mean, name) for name in ("schedule", "warmup", "clip")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(defaults.TUNED, "crf_backprop", by_mean)
        call("toydev", "-m", "crf_backprop", "--optimizer", "sgd", "--save", "mean.model", *one_step, "--lr", ".2")
    one, other = weights("sum.pkl"), weights("mean.model")
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)
    assert any(tensor.abs().max() > 0.01 for tensor in one.values())


# Interrupted


def losses(path: str) -> list[tuple[int, int, float]]:
    return [
        (look["attempt"], look["sentences"], look["loss"]) for look in Tagger.load(path).more["training"]["history"]
    ]


# the first step; the last of an epoch; amid one; that of an evaluation; the last of the first attempt; in the second
@pytest.mark.parametrize("kind, step", [
    ("crf_backprop", 1), ("crf_backprop", 4), ("crf_backprop", 12), ("crf_backprop", 18), ("crf", 7),
    ("crf_neural", 1), ("crf_neural", 5), ("crf_neural", 12), ("crf_neural", 24),
])  # fmt: skip
def test_interrupted_training_goes_on(kind: str, step: int, call: Call, folder: Path) -> None:
    """To the very same weights, by the same history, as if it had not been interrupted."""
    arguments = arguments_for(kind)
    assert call(*arguments, "--save", "whole.model").status == 0
    before = set(contents(folder))
    outcome = interrupt(call, step, *arguments)
    assert outcome.status == 130 and "x.model.checkpoint" in outcome.err and outcome.out == ""
    assert set(contents(folder)) - before == {"x.model.checkpoint"}
    outcome = call(*arguments, "--checkpoint", "x.model.checkpoint")
    assert outcome.status == 0
    assert same_weights("x.model", "whole.model") and losses("x.model") == losses("whole.model")
    assert Path("x_toydev.output").read_bytes() == Path("whole_toydev.output").read_bytes()


def test_interrupted_again_and_again(call: Call) -> None:
    arguments = arguments_for("crf_neural")
    call(*arguments, "--save", "whole.model")
    assert interrupt(call, 3, *arguments).status == 130
    assert interrupt(call, 6, "toydev", "--checkpoint", "x.model.checkpoint").status == 130
    assert interrupt(call, 5, "toydev", "--checkpoint", "x.model.checkpoint").status == 130
    assert call("toydev", "--checkpoint", "x.model.checkpoint").status == 0
    assert same_weights("x.model", "whole.model")


def test_interrupted_training_from_a_model_goes_on(call: Call) -> None:
    """The model it started from is started from again, with its words and tags."""
    arguments = arguments_for("crf_neural")
    call(*arguments, "--save", "start.model")
    arguments = ["toytest", "-t", "toydev", "--dev", "toysup", "-c", "start.model", *RUN[:-2], "--save", "x.model"]
    assert call(*arguments, "--save", "whole.model").status == 0
    assert interrupt(call, 4, *arguments).status == 130
    assert call("toytest", "--checkpoint", "x.model.checkpoint").status == 0
    assert same_weights("x.model", "whole.model") and losses("x.model") == losses("whole.model")


def test_checkpoint_goes_on_in_another_process(call: Call) -> None:
    """INPUT and the checkpoint are enough, and nothing depends on how a process hashes its strings."""
    arguments = arguments_for("crf_neural")
    call(*arguments, "--save", "whole.model")
    assert interrupt(call, 6, *arguments).status == 130
    done = process("toydev", "--checkpoint", "x.model.checkpoint", PYTHONHASHSEED="12345")
    assert done.returncode == 0, done.stderr
    assert same_weights("x.model", "whole.model")


def test_interrupted_training_leaves_an_old_model(call: Call) -> None:
    arguments = arguments_for("crf_backprop")
    Path("x.model").write_text("old")
    assert interrupt(call, 2, *arguments).status == 130
    assert Path("x.model").read_text() == "old"


def test_checkpoint_that_does_not_fit(call: Call, folder: Path) -> None:
    assert interrupt(call, 2, *arguments_for("crf_backprop")).status == 130
    checkpoint = "x.model.checkpoint"
    before = contents(folder)
    assert_one_line_error(call("toydev", "--model", "crf_neural", "-c", checkpoint), checkpoint, "crf_neural")
    assert_one_line_error(call("toydev", "--model", checkpoint), checkpoint, "not a model file")
    assert contents(folder) == before
    (folder / "toysup").write_text(CORPORA["toysup"].replace("dog", "hog"))  # as many tokens as before
    assert_one_line_error(call("toydev", "-c", checkpoint), checkpoint, "toysup")
    (folder / "toysup").write_text(CORPORA["toysup"])
    header, tensors = read_tensors(checkpoint)
    for change in (dict(plan={}), dict(plan={**header["more"]["plan"], "kind": "magic"}), dict(plan=None)):
        write_tensors("changed.checkpoint", tensors, {**header, "more": {**header["more"], **change}})
        assert_one_line_error(call("toydev", "-c", "changed.checkpoint"), "changed.checkpoint")
    assert call("toydev", "-c", checkpoint).status == 0


def test_interrupted_after_training(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to go on with but the model, which is there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    monkeypatch.setattr(tag, "tag_corpus", lambda *arguments, **options: signal.raise_signal(signal.SIGINT))
    try:
        outcome = call("toydev", "--model", "hmm")
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.status == 130 and Tagger.load("hmm_toysup.model").kind == "hmm"


def test_second_signal_ends_at_once(call: Call, folder: Path) -> None:
    """Without a checkpoint, without a traceback, without a part of a file."""
    before = set(contents(folder))
    with pytest.MonkeyPatch.context() as patch:
        SignalAt(patch, 3)
        SignalAt(patch, 3)  # around the first: two signals in one step
        outcome = call(*arguments_for("crf_backprop"))
    assert outcome.status == 130 and outcome.err.splitlines() == ["early stopping watches toydev"]
    assert set(contents(folder)) == before


@pytest.fixture
def endless(folder: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a training of this kind that does not end by itself, and waits for its first evaluation."""
    started: list[subprocess.Popen[str]] = []

    def start(kind: str) -> subprocess.Popen[str]:
        command = [sys.executable, CODE / "tag.py", *arguments_for(kind), "--threads", "1"]
        endless = ["--max_steps", "1000000000", "--patience", "100000000", "--lr", "1e-9"]
        started.append(subprocess.Popen(
            [*command, *endless], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment_with()
        ))  # fmt: skip
        while not (line := started[-1].stderr.readline()).startswith("epoch"):
            assert line, "it ended"
        return started[-1]

    yield start
    for running in started:
        running.kill()
        running.communicate()


@unix
@pytest.mark.parametrize("kind, number", [("crf_backprop", signal.SIGINT), ("crf_neural", signal.SIGTERM)])
def test_signal_to_a_process(
    kind: str, number: int, endless: Callable[[str], subprocess.Popen[str]], folder: Path
) -> None:
    before = set(contents(folder))
    running = endless(kind)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert running.returncode in (130, 128 + number)
    assert out == "" and "Traceback" not in err and "x.model.checkpoint" in err.splitlines()[-1]
    assert set(contents(folder)) - before == {"x.model.checkpoint"}
    state, _ = training.State.load("x.model.checkpoint")
    assert state.sentences > 0 and state.part("weights")


# Starting from a model


def test_start_from_a_model(call: Call) -> None:
    """The first look at dev, before anything can have changed, is that of the model."""
    call("toydev", "--model", "crf_backprop", *SHORT, "--metrics", "first.json")
    one_step = ["--max_steps", "16", "--batch_size", "16", "--restarts", "0", "--lr", "1e-9", "--metrics", "m.json"]
    for model in (["--model", "crf_backprop"], [], ["--crf"]):
        outcome = call("toydev", *model, "--checkpoint", "crf_backprop_toysup.model", "--save", "x.model", *one_step)
        assert outcome.status == 0
        assert metrics()["history"][0]["loss"] == pytest.approx(metrics("first.json")["cross_entropy"], rel=1e-5)
    call("toydev", "--model", "crf_backprop", "--save", "x.model", *one_step)
    assert metrics()["history"][0]["loss"] > 1.5 * metrics("first.json")["cross_entropy"]


def test_model_that_was_started_from_can_be_written_over(call: Call) -> None:
    call("toydev", "--model", "crf_backprop", *SHORT, "--save", "x.model")
    before = weights("x.model")
    assert call("toydev", "-t", "toysup", "--crf", *SHORT, "-c", "x.model", "-m", "x.model").status == 0
    assert any(not before[name].equal(tensor) for name, tensor in weights("x.model").items())


# Determinism


@pytest.mark.parametrize("kind", ["crf_backprop", "crf_neural"])
def test_seed(kind: str, call: Call) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        assert call(*arguments_for(kind), "--seed", str(seed), "--save", f"{name}.model").status == 0
    assert same_weights("one.model", "two.model") and not same_weights("one.model", "other.model")


def test_another_process_gives_the_same(call: Call) -> None:
    """However it hashes its strings; of models that draw random numbers, see the one interrupted in another process."""
    call("toydev", "--model", "hmm", "--save", "here.model")
    done = process("toydev", "--model", "hmm", "--save", "there.model", PYTHONHASHSEED="54321")
    assert done.returncode == 0, done.stderr
    assert same_weights("here.model", "there.model")
    one, other = (read_tensors(name)[0] for name in ("here.model", "there.model"))
    for header in (one, other):
        header["more"].pop("training")  # which takes its time
    assert one == other


def test_restarts(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small training corpus is trained on five times, a large one once, and --restarts goes before that."""

    def attempts(*arguments: str) -> int:
        call("toydev", "--model", "crf_neural", "--max_steps", "20", *arguments, "--metrics", "m.json")
        return len({look["attempt"] for look in metrics()["history"]})

    assert attempts() == 5 and attempts("--restarts", "1") == 2
    monkeypatch.setattr(learn, "RESTARTS_BELOW", 100)
    assert attempts() == 1


# As a program


def test_help() -> None:
    """Groups, examples and defaults, on whatever terminal."""
    done = process("--help", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("examples", "model and data:", "training", "output:", "machine:", "-λ", "--max_steps", "Exit status"):
        assert part in done.stdout
    assert all(kind in done.stdout for kind in KINDS)
    examples = re.findall(r"python tag\.py ((?:\S+ )*\S+)", done.stdout.split("examples")[1].split("positional")[0])
    assert len(examples) >= 5
    for example in examples:
        args = options.parser().parse_args(example.split())
        model_argument(args)


def test_shipped_corpus_from_anywhere(folder: Path) -> None:
    """Bare names are found in data/; the model and what it writes go to the current folder."""
    done = process("endev", "--model", "hmm", "--metrics", "m.json")
    assert done.returncode == 0, done.stderr
    assert {"hmm_ensup.model", "hmm_ensup_endev.output", "hmm_ensup_endev.eval"} < set(contents(folder))
    report = metrics()
    assert_well_formed(report)
    assert report["accuracy"]["all"] > 0.9 > report["accuracy"]["novel"]
    assert report["tokens"] == sum(map(len, read_corpus(find("endev", "data"))))


def test_bare_names(folder: Path) -> None:
    """As given first, then in the package."""
    assert find("toysup", "data") == Path("toysup")
    assert find("words-50.txt", "lexicons").samefile(CODE.parent / "lexicons" / "words-50.txt")
    (folder / "endev").write_text("here/N\n")
    assert find("endev", "data").samefile(folder / "endev")
    with pytest.raises(InputError, match="words-50.txt"):
        find("words-50.txt", "data")


@unix
@pytest.mark.parametrize("name", ["toytest", "-"])
def test_reader_that_is_gone(name: str, call: Call) -> None:
    """As in `tag.py ... | head -1`. What goes into files is written all the same."""
    call("toydev", "--model", "hmm", "-q")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, CODE / "tag.py", name, "--model", "hmm_toysup.model", "--metrics", "m.json"]
    try:
        done = subprocess.run(
            command, stdin=Path("toytest").open("rb"), stdout=writing, stderr=subprocess.PIPE, text=True,
            timeout=60, env=environment_with(),
        )  # fmt: skip
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert "Error" not in done.stderr and "Traceback" not in done.stderr
    assert metrics()["tokens"] == sum(map(len, words("toytest")))
    assert name == "-" or words("hmm_toysup_toytest.output") == words("toytest")


def test_pipe_of_utf_8_whatever_the_locale(call: Call) -> None:
    call("toydev", "--model", "hmm", "-q")
    done = process("-", "--model", "hmm_toysup.model", stdin="Ünï\u2028x dog\n".encode(), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert re.sub("/[A-Z]", "", done.stdout) == "Ünï\u2028x dog\n"
