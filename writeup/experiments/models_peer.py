"""A classical peer: CRFsuite's linear-chain CRF on a standard template of features, by python-crfsuite.

    python models_peer.py TRAIN DEV REPORT [--iterations N]

trains on a corpus, tags another, and leaves in REPORT the scores that `tag.py --metrics` would. The features of a
token: bias, the word, its lower case, its prefixes and suffixes of 1 to 3 letters, its shape, the lower case of two
words on each side. Trained by L-BFGS, to the end of its iterations; nothing is random in it. The penalties are those of
its tutorial, which did better on endev, ptbdev and ewtdev than its defaults (c1 = 0, c2 = 1).
"""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import importlib.util
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runs import Job

import eval as evaluation
from corpus import Sentence, read_corpus
from lexicon import SHAPES
from word_features import look_up

VERSION = "0.9.12"
ITERATIONS = 60
SETTINGS = {"c1": 0.1, "c2": 0.1, "feature.possible_transitions": True}
ABSENT = f"python-crfsuite is not installed (pip install python-crfsuite=={VERSION}, or the extra `reference`)"


def installed() -> bool:
    return importlib.util.find_spec("pycrfsuite") is not None


# The model


def shape(word: str) -> str:
    for pattern, symbol in SHAPES:
        word = pattern.sub(symbol, word)
    return word


def template(words: Sequence[str]) -> list[list[str]]:
    """The features of each token of a sentence."""
    lower = [word.lower() for word in words]
    padded = ["BOS2", "BOS1", *lower, "EOS1", "EOS2"]
    return [
        [
            "bias", f"word={word}", f"lower={lower[i]}", f"shape={shape(word)}",
            *(f"prefix{n}={lower[i][:n]}" for n in (1, 2, 3)), *(f"suffix{n}={lower[i][-n:]}" for n in (1, 2, 3)),
            *(f"lower{o:+}={padded[i + 2 + o]}" for o in (-2, -1, 1, 2)),
        ]
        for i, word in enumerate(words)
    ]  # fmt: skip


def train_and_tag(
    training: Sequence[Sentence], dev: Sequence[Sentence], iterations: int, folder: Path
) -> tuple[dict[str, Any], list[list[str]]]:
    """The measures, and the tagging of `dev`. Times are of training and tagging with the features at hand."""
    import pycrfsuite

    began = time.perf_counter()
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", params={**SETTINGS, "max_iterations": iterations}, verbose=False)
    for sentence in training:
        trainer.append(pycrfsuite.ItemSequence(template(sentence.words)), sentence.tags)
    items = [pycrfsuite.ItemSequence(template(sentence.words)) for sentence in dev]
    made = time.perf_counter()
    trainer.train(str(folder / "peer.crfsuite"))
    trained = time.perf_counter()
    tagger = pycrfsuite.Tagger()
    tagger.open(str(folder / "peer.crfsuite"))
    opened = time.perf_counter()
    tagging = [tagger.tag(item) for item in items]
    tagged = time.perf_counter()
    cross_entropy = conditional_cross_entropy(tagger, items, dev)
    tokens = sum(map(len, training))
    metrics = dict(
        conditional_cross_entropy=cross_entropy,
        parameters=trainer.logparser.featgen_num_features,
        feature_seconds=made - began,
        train_seconds=trained - made,
        train_tokens_per_second=iterations * tokens / (trained - made),
        tag_tokens_per_second=sum(map(len, dev)) / (tagged - opened),
    )
    return metrics, tagging


def conditional_cross_entropy(tagger: Any, items: Sequence[Any], dev: Sequence[Sentence]) -> float:
    """-log p(tags | words) in nats a token, EOS counted; tags that the model does not know are summed over."""
    labels, total = dict.fromkeys(tagger.labels()), 0.0
    for item, sentence in zip(items, dev):
        tagger.set(item)
        choices = [[tag] if tag in labels else list(labels) for tag in sentence.tags]
        total += math.log(sum(map(tagger.probability, itertools.product(*choices))) or math.inf)
    return -total / (sum(map(len, dev)) + len(dev))


def measure(train: Path, dev: Path, iterations: int, folder: Path) -> dict[str, Any]:
    """What a result of `runs` has besides the command and the machine."""
    training, gold = read_corpus(train), read_corpus(dev)
    metrics, tagging = train_and_tag(training, gold, iterations, folder)
    words = dict.fromkeys((word for sentence in training for word in sentence.words), True)
    known = {word: look_up(word, words) is not None for sentence in gold for word in sentence.words}
    category = [["known" if known[word] else "novel" for word in sentence.words] for sentence in gold]
    tags = [sentence.tags for sentence in gold]
    accuracy = evaluation.accuracy(tags, tagging, category)
    correct, tokens = evaluation.correct_by_sentence(tags, tagging)
    metrics.update(
        tokens=sum(map(len, gold)), sentences=len(gold), train=[train.name], dev=dev.name, input=dev.name,
        accuracy={name: value.fraction for name, value in accuracy.items()},
        counts={name: value.total for name, value in accuracy.items()},
    )  # fmt: skip
    return dict(metrics=metrics, correct_by_sentence=correct.tolist(), tokens_by_sentence=tokens.tolist())


# A run


def command_of(train: str, dev: str, quick: bool) -> list[str]:
    """The arguments of this program, and what else its result depends on."""
    settings = [f"{name}={value}" for name, value in SETTINGS.items()]
    return ["crfsuite", train, dev, "--iterations", str(2 if quick else ITERATIONS), *settings]


def make_result(job: Job, jobs: int, threads: int, work: Path) -> None:
    """As runs.make_result, in a process of its own; `threads` is of no use to it."""
    train, dev = (str(common.find(name, work, common.DATA)) for name in job.command[1:3])
    report = work / f"{job.path.stem}.json"
    load = common.load()
    command = [sys.executable, __file__, train, dev, str(report), *job.command[3:5]]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["(no message)"])[-1]
        raise common.RunError(f"{' '.join(job.command)}: exit status {done.returncode}: {last}")
    about = dict(command=job.command, machine=common.machine(1), jobs=jobs, load_before=load, load_after=common.load())
    common.write_json(job.path, {**about, **json.loads(report.read_text(encoding="utf-8"))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", metavar="TRAIN", type=Path)
    parser.add_argument("dev", metavar="DEV", type=Path)
    parser.add_argument("report", metavar="REPORT", type=Path)
    parser.add_argument("--iterations", type=int, default=ITERATIONS, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        common.write_json(args.report, measure(args.train, args.dev, args.iterations, Path(folder)))


if __name__ == "__main__":
    main()
