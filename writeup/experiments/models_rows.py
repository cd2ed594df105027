"""The rows of models.py: what is run for each, and why one cannot be run where something is missing."""

from __future__ import annotations

import common
import models_peer

WORDS = "crf_neural --lexicon words-50.txt"
HALF = "--max_steps 45000"
HALF_WORDS = f"{WORDS} {HALF}"
SHORT = "awesome --max_steps 60000"
# Arguments of `tag.py endev --model`, by group and name.
GROUPS: dict[str, dict[str, str]] = {
    "HMM": {
        "hmm": "hmm",
        "hmm unigram": "hmm --unigram",
        "hmm + enraw": "hmm --train ensup enraw",
        "hmm_neural": "hmm_neural",
        "hmm_neural words-50": "hmm_neural --lexicon words-50.txt",
        "hmm_neural gem_steps 2": "hmm_neural --gem_steps 2",
    },
    "stationary CRF": {
        "crf": "crf",
        "crf_backprop": "crf_backprop",
        "crf_backprop unigram": "crf_backprop --unigram",
        "crf_backprop init hmm": "crf_backprop --init hmm",
        "crf_backprop sgd": "crf_backprop --optimizer sgd --lr 10",
        "crf_backprop tag_rank 8": "crf_backprop --tag_rank 8",
        "crf_backprop tag_rank 8 asymmetric": "crf_backprop --tag_rank 8 --tag_form asymmetric",
        "crf_backprop words-50": "crf_backprop --lexicon words-50.txt",
        "crf_backprop problex + affixes + one_hot": "crf_backprop --problex --affixes --one_hot",
    },
    "biRNN-CRF": {
        "crf_neural words-50": WORDS,
    },
    "its potentials and context, trained half as long": {
        "words-50": HALF_WORDS,
        "words-50 shared": f"{HALF_WORDS} --potentials shared",
        "words-50 inner": f"{HALF_WORDS} --potentials inner",
        "words-50 emission_context": f"{HALF_WORDS} --potentials emission_context",
        "words-50 emission_mlp": f"{HALF_WORDS} --potentials emission_mlp",
        "words-50 window": f"{HALF_WORDS} --potentials window",
        "words-50 no_boundary": f"{HALF_WORDS} --no_boundary",
        "words-50 lstm": f"{HALF_WORDS} --rnn lstm",
        "words-50 gru": f"{HALF_WORDS} --rnn gru",
        "words-50 layers 2": f"{HALF_WORDS} --layers 2",
        "words-50 rnn_dim 0": f"{HALF_WORDS} --rnn_dim 0",
        "words-50 posterior": f"{HALF_WORDS} --decoder posterior",
    },
    "its word features, trained half as long": {
        "one_hot": f"crf_neural {HALF}",
        "words-10": f"crf_neural --lexicon words-10.txt {HALF}",
        "words-20": f"crf_neural --lexicon words-20.txt {HALF}",
        "syntax-50": f"crf_neural --lexicon syntax-50.txt {HALF}",
        "words-50 + syntax-50": f"{HALF_WORDS} --lexicon syntax-50.txt",
        "words-50 + problex": f"{HALF_WORDS} --problex",
        "words-50 + affixes": f"{HALF_WORDS} --affixes",
        "words-50 + affixes outside": f"{HALF_WORDS} --affixes --outside",
        "words-50 + one_hot": f"{HALF_WORDS} --one_hot",
        "words-50 + characters": f"{HALF_WORDS} --characters",
        "words-50 finetune": f"{HALF_WORDS} --finetune",
        "words-50 finetune late": f"{HALF_WORDS} --finetune --recipe recipes/vectors_late.toml",
        "all features": f"{HALF_WORDS} --lexicon syntax-50.txt --problex --affixes --one_hot --characters",
    },
    "our best": {
        "awesome": "awesome",
    },
    "our best trained on 60,000 sentences, then without each of its ingredients and with one-hot words": {
        "awesome short": SHORT,
        "awesome without emission_mlp": f"{SHORT} --potentials emission_context",
        "awesome without lstm": f"{SHORT} --rnn sigmoid",
        "awesome without dropout": f"{SHORT} --dropout 0",
        "awesome without outside": f"{SHORT} --no_outside",
        "awesome without problex": f"{SHORT} --no_problex",
        "awesome without affixes": f"{SHORT} --no_affixes",
        "awesome without characters": f"{SHORT} --no_characters",
        "awesome without syntax-50": f"{SHORT} --lexicon words-50.txt",
        "awesome without words-50": f"{SHORT} --lexicon syntax-50.txt",
        "awesome and one_hot": f"{SHORT} --one_hot",
    },
}
# Beside CRFsuite: the training corpus of each corpus that is tagged, and arguments of `tag.py CORPUS --model`.
PEERS: dict[str, str] = {"endev": "ensup", "ptbdev": "ptbsup", "ewtdev": "ewtsup"}
COMPARED: dict[str, str] = {
    "crf_neural": f"{WORDS} --problex --affixes",
    "awesome": "awesome",
}


def compared(dev: str) -> list[str]:
    """The names of the rows of one corpus in the second table, CRFsuite first. `awesome` on endev is in the first."""
    return [
        f"{dev} crfsuite",
        *("awesome" if (dev, name) == ("endev", "awesome") else f"{dev} {name}" for name in COMPARED),
    ]


def all_rows() -> dict[str, list[str]]:
    """What is run for each row of the tables, but for the seed; crfsuite's is what models_peer.py makes of it."""
    found = {name: ["endev", "--model", *text.split()] for group in GROUPS.values() for name, text in group.items()}
    for dev in PEERS:
        commands = [["crfsuite", dev], *([dev, "--model", *text.split()] for text in COMPARED.values())]
        found.update(zip(compared(dev), commands))
    return found


ROWS = all_rows()


def is_peer(name: str) -> bool:
    return ROWS[name][0] == "crfsuite"


def absent(name: str) -> str | None:
    """Why a row cannot be run here, if it cannot."""
    command = ROWS[name]
    if is_peer(name) and not models_peer.installed():
        return models_peer.ABSENT
    dev = command[1] if is_peer(name) else command[0]
    if not (common.DATA / dev).exists():
        return f"data/{dev} is not there (python data/fetch.py {dev.removesuffix('dev')})"
    lexicons = [argument for argument in command if argument.endswith(".txt")]
    return next((f"lexicons/{file} is not there" for file in lexicons if not (common.LEXICONS / file).exists()), None)
