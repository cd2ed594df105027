"""The rows of closer.py: what is run for each surprise in the answers, and what is compared."""

from __future__ import annotations

import bisect
from typing import NamedTuple

import answers_rows

NEURAL, HALF = answers_rows.NEURAL, answers_rows.HALF
# Before a command: its tag frequencies are not standardized; its HMM draws which words that occur once are OOV.
RAW, DRAWN = CHANGED = "raw", "drawn"
# Words by how often they occur in tagged training text: the least number of times of each bin.
BINS = {"never": 0, "once": 1, "2-9": 2, "10-99": 10, "100-999": 100, "1000 or more": 1000}
SHOWN = ("one_hot", "words-50", "problex", "words-50 + problex")


class Group(NamedTuple):
    """Rows of one table: arguments of tag.py by name; at most `seeds` of each, seeds 0, 1, ..."""

    title: str
    rows: dict[str, str]
    seeds: int = 2


GROUPS: dict[str, Group] = {
    "frequency": Group("Words by how often they occurred in training", {
        name: " ".join(answers_rows.ROWS[name])
        for name in ("crf_backprop one_hot", *(f"d={d} {features}" for d in (0, 32) for features in SHOWN))
    }),
    "neural HMM": Group("Neural HMM: its word features", {
        f"hmm_neural {name}": f"endev --model hmm_neural {option}" for name, option in {
            "one_hot": "",
            "words-10": "--lexicon words-10.txt",
            "words-20": "--lexicon words-20.txt",
            "words-50": "--lexicon words-50.txt",
            "words-50 + syntax-50": "--lexicon words-50.txt --lexicon syntax-50.txt",
            "words-50 + one_hot": "--lexicon words-50.txt --one_hot",
        }.items()
    }),
    "ten numbers": Group("Vectors of ten numbers", {
        "words-10": f"{NEURAL} --lexicon words-10.txt",
        "words-10, emission_features 256": f"{NEURAL} --lexicon words-10.txt --emission_features 256",
        "words-10, emission_features 1024": f"{NEURAL} --lexicon words-10.txt --emission_features 1024",
        "words-10 + one_hot": f"{NEURAL} --lexicon words-10.txt --one_hot",
    }),
    "layer": Group("One-hot words: the layer and the regularizer", {
        "emission_features 256": f"{NEURAL} --rnn_dim 0 --one_hot --emission_features 256",
        "outside": f"{NEURAL} --rnn_dim 0 --one_hot --outside",
        **{f"reg {C}": f"{NEURAL} --rnn_dim 0 --one_hot --reg {C}" for C in (0, 0.1, 10)},
        "reg 0, emission_features 256": f"{NEURAL} --rnn_dim 0 --one_hot --reg 0 --emission_features 256",
        "reg 0, outside": f"{NEURAL} --rnn_dim 0 --one_hot --reg 0 --outside",
        **{f"crf_backprop one_hot, reg {C}": f"endev --model crf_backprop --one_hot --reg {C}" for C in (0.1, 1)},
        **{f"d=32 one_hot, reg {C}": f"{NEURAL} --one_hot --reg {C}" for C in (0, 0.1)},
        "d=32 words-50 + one_hot, reg 0.1": f"{NEURAL} --lexicon words-50.txt --one_hot --reg 0.1",
    }),
    "standardized": Group("Tag frequencies as they are, not standardized", {
        "d=0 problex, raw": f"{RAW} {NEURAL} --rnn_dim 0 --problex",
        "d=32 problex, raw": f"{RAW} {NEURAL} --problex",
    }),
    "counts": Group("Words that occur once, counted by the fall of a coin", {
        "hmm, drawn": f"{DRAWN} endev --model hmm",
    }, 3),
    "EM": Group("Untagged text: EM with enraw", {
        "hmm": "endev --model hmm",
        "hmm + enraw": "endev --model hmm --train ensup enraw",
        "1/16 hmm": "endev --model hmm --train part16",
        "1/16 hmm + enraw": "endev --model hmm --train part16 enraw",
        "1/64 hmm": "endev --model hmm --train part64",
        "1/64 hmm + enraw": "endev --model hmm --train part64 enraw",
    }, 3),
    "treebanks": Group("Real corpora", {
        **{
            f"{corpus} {name}": f"{corpus}dev --model {option}"
            for corpus in ("ewt", "tw", "btc")
            for name, option in {
                "hmm": "hmm",
                "crf_backprop": "crf_backprop",
                "crf_neural words-50": f"crf_neural --lexicon words-50.txt {HALF}",
                "crf_neural words-50 + one_hot": f"crf_neural --lexicon words-50.txt --one_hot {HALF}",
                "crf_neural words-50 + affixes": f"crf_neural --lexicon words-50.txt --affixes {HALF}",
            }.items()
        },
        **{
            f"tw crf_neural {name}, reg 0.1": f"twdev --model crf_neural --lexicon words-50.txt {option} {HALF}"
            for name, option in {"words-50": "--reg 0.1", "words-50 + one_hot": "--one_hot --reg 0.1"}.items()
        },
    }, 1),
}  # fmt: skip
ROWS: dict[str, list[str]] = {name: row.split() for group in GROUPS.values() for name, row in group.rows.items()}
COMPARED: list[tuple[str, str]] = [
    ("d=0 one_hot", "crf_backprop one_hot"),
    *((name, "d=0 one_hot") for name in ("emission_features 256", "outside", "reg 0")),
    *((name, "crf_backprop one_hot") for name in ("reg 0", "reg 0, outside", "crf_backprop one_hot, reg 1")),
    ("crf_backprop one_hot, reg 1", "d=0 one_hot"),
    ("reg 0.1", "crf_backprop one_hot, reg 0.1"),
    *(("d=32 one_hot, reg 0.1", f"d=32 one_hot{other}") for other in ("", ", reg 0")),
    ("d=32 words-50 + one_hot, reg 0.1", "d=32 words-50 + problex"),
    ("d=32 words-50", "d=32 one_hot, reg 0.1"),
    ("d=32 problex, raw", "d=32 problex"),
    ("d=0 problex, raw", "d=0 problex"),
    ("d=32 problex, raw", "d=0 problex, raw"),
    ("hmm_neural one_hot", "hmm"),
    ("hmm_neural words-50", "hmm_neural one_hot"),
    ("hmm_neural words-50 + one_hot", "hmm_neural one_hot"),
    ("hmm_neural words-50 + syntax-50", "hmm_neural words-50"),
    ("words-10, emission_features 256", "words-10"),
    ("words-10, emission_features 1024", "words-10, emission_features 256"),
    *(("words-10 + one_hot", f"words-10{other}") for other in ("", ", emission_features 1024")),
    ("hmm", "hmm, drawn"),
    ("hmm + enraw", "hmm"),
    ("1/16 hmm + enraw", "1/16 hmm"),
    ("1/64 hmm + enraw", "1/64 hmm"),
    *((f"{corpus} crf_backprop", f"{corpus} hmm") for corpus in ("ewt", "tw", "btc")),
    *((f"{corpus} crf_neural words-50", f"{corpus} crf_backprop") for corpus in ("ewt", "tw", "btc")),
    *((f"tw crf_neural {name}, reg 0.1", f"tw crf_neural {name}") for name in ("words-50", "words-50 + one_hot")),
    ("tw crf_neural words-50 + one_hot, reg 0.1", "tw crf_backprop"),
    *(
        (f"{corpus} crf_neural words-50 + {more}", f"{corpus} crf_neural words-50")
        for corpus in ("ewt", "tw", "btc")
        for more in ("one_hot", "affixes")
    ),
]


def bin_of(count: int) -> str:
    return list(BINS)[bisect.bisect_right(list(BINS.values()), count) - 1]


def absent(name: str) -> str | None:
    """Why a row cannot be run here, if it cannot."""
    return answers_rows.missing_file(ROWS[name])
