"""What tests of the command line share: a folder of small corpora, tag.py run in it, looks at what it has written."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import tag
import training
from corpus import read_corpus
from tagger import read_tensors

CODE = Path(tag.__file__).resolve().parent
SHORT = ["--max_steps", "240", "--eval_interval", "60", "--restarts", "0"]  # enough to train on the toy corpus


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Call = Callable[..., Outcome]


# The toy language: a determiner, adjectives, a noun, a verb, perhaps another noun phrase; some words are of two tags.

DETERMINERS, ADJECTIVES = ["the", "a", "every"], ["big", "small", "1&slash;2"]
NOUNS, VERBS = ["dog", "cat", "walk", "run", "Mary", "tree"], ["sees", "walk", "run", "likes", "chases"]


def toy_sentence(choose: random.Random) -> str:
    phrase = lambda: [
        f"{choose.choice(DETERMINERS)}/D",
        *(f"{choose.choice(ADJECTIVES)}/J" for _ in range(choose.randrange(3))),
        f"{choose.choice(NOUNS)}/N",
    ]
    return " ".join([*phrase(), f"{choose.choice(VERBS)}/V", *(phrase() if choose.random() < 0.5 else [])])


def toy_corpus(sentences: int, seed: int) -> str:
    choose = random.Random(seed)
    return "".join(toy_sentence(choose) + "\n" for _ in range(sentences))


CORPORA = {
    "toysup": toy_corpus(60, seed=1),
    "toydev": toy_corpus(15, seed=2),
    "toytest": toy_corpus(8, seed=3) + "the/D zebra/N sees/V 3&slash;4/J zebra/N\nMary/N run/V Every/D dog/N\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: the toy corpora, nothing else."""
    for name, text in CORPORA.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process, in the folder."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        try:
            status = tag.main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            status = leaving.code
        return Outcome(status, *capsys.readouterr())

    return run


def process(
    *arguments: str | Path, stdin: bytes = b"", before: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process, in the current folder.

    Args:
        before: what the command begins with, such as a program that sets limits.
    """
    done = subprocess.run(
        [*before, sys.executable, CODE / "tag.py", *arguments, "--threads", "1"],
        input=stdin, capture_output=True, timeout=120, env=environment_with(**environment),
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def environment_with(**values: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**kept, "OMP_NUM_THREADS": "1", **values}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file of the folder; None for what is no file."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    return read_tensors(path)[1]


def same_weights(one: str | Path, other: str | Path) -> bool:
    """Bit for bit."""
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and a[name].equal(b[name]) for name in a)


def metrics(path: str | Path = "m.json") -> dict[str, Any]:
    return json.loads(Path(path).read_text(), parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def words(path: str | Path) -> list[tuple[str, ...]]:
    return [sentence.words for sentence in read_corpus(path)]


def assert_one_line_error(outcome: Outcome | subprocess.CompletedProcess[str], *fragments: str) -> None:
    status, err = (
        (outcome.status, outcome.err) if isinstance(outcome, Outcome) else (outcome.returncode, outcome.stderr)
    )
    assert status == 2, err
    assert err.startswith("tag.py: error: ") and err.endswith("\n") and err.count("\n") == 1, err
    for fragment in fragments:
        assert fragment in err


class SignalAt:
    """Sends this process a signal in the training step of this number (counting from 1)."""

    def __init__(self, patch: pytest.MonkeyPatch, step: int, number: int = signal.SIGINT):
        self.steps = 0
        original = training.Trainer.step

        def counted(trainer: training.Trainer, *arguments: Any) -> float:
            self.steps += 1
            if self.steps == step:
                signal.raise_signal(number)
            return original(trainer, *arguments)

        patch.setattr(training.Trainer, "step", counted)


# 60 sentences by 16 are 4 steps an epoch; 3 epochs, so 12 steps an attempt; two attempts; a look every 5 steps or so.
RUN = ["--max_steps", "180", "--eval_interval", "70", "--batch_size", "16", "--restarts", "1"]


def arguments_for(kind: str) -> list[str]:
    sizes = ["--rnn_dim", "3", "--tag_dim", "3", "--emission_features", "4", "--transition_features", "4"]
    return ["toydev", "--model", kind, *RUN, *(sizes if kind == "crf_neural" else []), "--save", "x.model"]


def interrupt(call: Call, step: int, *arguments: str) -> Outcome:
    """A run to which Ctrl-C comes in that step."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.MonkeyPatch.context() as patch:
        SignalAt(patch, step)
        outcome = call(*arguments)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    return outcome
