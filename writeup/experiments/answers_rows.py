"""The rows of answers.py, by question of INSTRUCTIONS.md: what is run, with how many seeds, and what is compared.

The rows on endev train half as long as crf_neural does by default, as those of models.py's variations do, so that all
rows here compare with each other and with those. `part16` stands for a sixteenth of ensup: answers.py makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import common

HALF = "--max_steps 45000"
NEURAL = f"endev --model crf_neural {HALF}"
WORDS = f"{NEURAL} --lexicon words-50.txt"
BASE = "words-50"  # the row that the others of questions 20 and 21 vary in one thing
RULE = "--reg 0.1 --lr 0.02 --batch_size 8 --max_steps 15000 --eval_interval 3000 --restarts 4"  # as in artificial.py
PTB = f"ptbdev --model crf_neural --lexicon words-50.txt {HALF}"
PTB_LONG = PTB.replace(HALF, "--max_steps 180000")
PARTS = (16, 8, 4, 2)
FEATURES = {
    "one_hot": "--one_hot",
    "words-50": "--lexicon words-50.txt",
    "syntax-50": "--lexicon syntax-50.txt",
    "problex": "--problex",
    "affixes": "--affixes",
    "words-50 + problex": "--lexicon words-50.txt --problex",
    "words-50 + one_hot": "--lexicon words-50.txt --one_hot",
    "words-50 + affixes": "--lexicon words-50.txt --affixes",
    "words-50 + problex + affixes": "--lexicon words-50.txt --problex --affixes",
}


class Group(NamedTuple):
    """Rows of one table: arguments of tag.py by name; at most `seeds` of each, seeds 0, 1, ..."""

    title: str
    rows: dict[str, str]
    seeds: int


def learners(name: str, train: str) -> dict[str, str]:
    """The main line, trained on one corpus. No restarts, which a small corpus gets by default."""
    return {
        f"{name} hmm": f"endev --model hmm {train}",
        f"{name} crf_backprop": f"endev --model crf_backprop {train}",
        f"{name} crf_neural": f"{WORDS} {train} --restarts 0",
    }


GROUPS: dict[str, Group] = {
    "dimension": Group("Question 18: the dimension d on next and pos", {
        f"{corpus} d={d}": f"{corpus}dev --model crf_neural --rnn_dim {d} {RULE}"
        for corpus in ("next", "pos") for d in (0, 1, 2, 4, 8)
    }, 3),
    "settings": Group("Questions 20 and 21: hyperparameters of the biRNN-CRF", {
        BASE: WORDS,
        **{f"rnn_dim {d}": f"{WORDS} --rnn_dim {d}" for d in (4, 8, 16, 64, 128)},
        **{f"emission_features {F}": f"{WORDS} --emission_features {F}" for F in (16, 256)},
        **{f"transition_features {F}": f"{WORDS} --transition_features {F}" for F in (4, 64)},
        **{f"lexicon words-{e}": f"{NEURAL} --lexicon words-{e}.txt" for e in (10, 20)},
        **{f"reg {C}": f"{WORDS} --reg {C}" for C in (0, 0.1, 10, 100)},
        **{f"lr {lr}": f"{WORDS} --lr {lr}" for lr in (0.002, 0.005, 0.01, 0.05, 0.1)},
        **{f"batch_size {B}": f"{WORDS} --batch_size {B}" for B in (4, 128, 512)},
        "batch_size 4, lr 0.005": f"{WORDS} --batch_size 4 --lr 0.005",
        "batch_size 128, lr 0.04": f"{WORDS} --batch_size 128 --lr 0.04",
        "batch_size 512, lr 0.08": f"{WORDS} --batch_size 512 --lr 0.08",
        "sgd, lr 0.5": f"{WORDS} --optimizer sgd --lr 0.5",
        "sgd, lr 2": f"{WORDS} --optimizer sgd --lr 2",
    }, 3),
    "training": Group("Question 22: tagging the training corpus", {
        "ensup hmm": "ensup --dev endev --model hmm",
        "ensup crf_backprop": "ensup --dev endev --model crf_backprop",
        "ensup crf_neural d=0": f"ensup --dev endev --model crf_neural --rnn_dim 0 --lexicon words-50.txt {HALF}",
        "ensup crf_neural": f"ensup --dev endev --model crf_neural --lexicon words-50.txt {HALF}",
        "ensup crf_neural reg 0": f"ensup --dev endev --model crf_neural --lexicon words-50.txt --reg 0 {HALF}",
        "ensup crf_neural one_hot": f"ensup --dev endev --model crf_neural --one_hot {HALF}",
    }, 3),
    "less": Group("Less training data", {
        **{name: row for part in PARTS for name, row in learners(f"1/{part}", f"--train part{part}").items()},
        **learners("all", "--train ensup"),
    }, 3),
    "more": Group("More training data, Penn tags", {
        "ptbsup": f"{PTB} --train ptbsup",
        "ewtsup": f"{PTB} --train ewtsup",
        "ptbsup + ewtsup": f"{PTB} --train ptbsup ewtsup",
        "ptbsup, four times as long": f"{PTB_LONG} --train ptbsup",
        "ptbsup + ewtsup, four times as long": f"{PTB_LONG} --train ptbsup ewtsup",
    }, 1),
    "stationary": Group("Question 25: the stationary CRF with these features", {
        f"crf_backprop {name}": f"endev --model crf_backprop {option}" for name, option in FEATURES.items()
    }, 3),
    "no context": Group("Question 24: without context, d = 0", {
        f"d=0 {name}": f"{NEURAL} --rnn_dim 0 {option}" for name, option in FEATURES.items()
    }, 3),
    "context": Group("Question 23: with context, d = 32", {
        f"d=32 {name}": f"{NEURAL} {option}" for name, option in FEATURES.items()
    }, 3),
}  # fmt: skip
ROWS: dict[str, list[str]] = {name: row.split() for group in GROUPS.values() for name, row in group.rows.items()}
# A, B, and the words on which A is expected to be better (question 26; `all` for question 25).
COMPARED: list[tuple[str, str, str]] = [
    *((f"crf_backprop {features}", "crf_backprop one_hot", "all") for features in FEATURES if features != "one_hot"),
    *((f"{model} {features}", "crf_backprop one_hot", "all") for model in ("d=0", "d=32") for features in FEATURES),
    *((f"d=0 {features}", f"crf_backprop {features}", "all") for features in FEATURES if features != "one_hot"),
    *((f"{d} words-50", f"{d} {other}", "seen") for d in ("d=0", "d=32") for other in ("one_hot", "problex")),
    *((f"{d} words-50", f"{d} syntax-50", "all") for d in ("d=0", "d=32")),
    *((f"{d} problex", f"{d} {other}", "known") for d in ("d=0", "d=32") for other in ("one_hot", "words-50")),
    *((f"d=32 {features}", f"d=0 {features}", words) for features in FEATURES for words in ("known", "novel")),
    ("ptbsup", "ptbsup + ewtsup", "all"),
    ("ptbsup + ewtsup, four times as long", "ptbsup, four times as long", "all"),
    ("d=32 words-50", "d=32 one_hot", "known"),
    *(
        (f"{d} words-50 + problex", f"{d} {other}", "all")
        for d in ("d=0", "d=32")
        for other in ("words-50", "problex", "one_hot")
    ),
    *((f"d=0 {a}", f"d=0 {b}", "all") for a, b in (("words-50", "problex"), ("problex", "one_hot"))),
    *(("d=32 words-50 + affixes", f"d=32 words-50 + {other}", "all") for other in ("problex", "problex + affixes")),
    ("emission_features 256", "words-50", "all"),
]


def absent(name: str) -> str | None:
    """Why a row cannot be run here, if it cannot."""
    return missing_file(ROWS[name])


def missing_file(command: Sequence[str]) -> str | None:
    """What a command names and is not there, if there is such."""
    for word in command:
        corpus = word.endswith(("sup", "dev")) and not word.startswith("-")
        folder = common.DATA if corpus else common.LEXICONS
        if (corpus or word.endswith(".txt")) and not (folder / word).exists():
            return f"{folder.name}/{word} is not there"
    return None
