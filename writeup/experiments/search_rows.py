"""The rows of search.py: what is trained for each task, which tables show it, and what the paper has there.

A system is what a table has a row for; ROWS says what of it is trained. `energy` is the BLSTM-CRF, which Viterbi and
gradient descent search too; `local cnn` and its kind are local taggers; `cnn` and its kind are inference networks of
the energy. A + is the paper's: word vectors that are tuned, a convolution over characters, dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import common

NETWORKS = ("cnn", "blstm", "seq2seq")
HIDDEN = (25, 50, 100, 200, 300)  # of Figure 1
GD_ITERATIONS = 50  # of gradient descent where a table has one row for it
BEAM = 5
STEPS = "45000"  # sentences that a system is trained on at most, half as many as by default
QUICK_STEPS = "60"


class Task(NamedTuple):
    """Corpora to train, tune and test on are the task's sup, dev and test. Where no test corpus is shipped, they are
    the first nine tenths of sup, its last tenth, and dev.

    Attributes:
        paper: the task of the paper that is of its kind.
        network: what the paper takes for tasks of this kind in its Tables 4 and 6.
        hidden: H of recurrent inference networks and local taggers where a row does not say another. (The paper's
            networks for 400 labels are wider, too: 400.) Energies have H = 100 everywhere, and so have CNNs, whose
            point is speed.
    """

    title: str
    paper: str
    network: str
    hidden: int = 100


TASKS = {
    "ner": Task("entities, F1", "NER", "seq2seq"),
    "pairs": Task("400 pairs of Penn tags, accuracy", "CCG", "blstm", 300),
    "tw": Task("tags of tweets, accuracy", "POS", "cnn"),
    "dep": Task("400 supertags, accuracy", "CCG", "blstm", 300),
    "wnut": Task("emerging entities, F1", "NER", "seq2seq"),
    "btc": Task("entities in tweets, F1", "NER", "seq2seq"),
}
FETCHED = {
    "tw": "twpos",
    "dep": "ewtdep",
    "wnut": "wnut",
    "btc": "nerbtc",
}  # as data/fetch.py calls what they come with
WITH_PLUS = ("ner", "tw")
DEEP = "blstm+ layers 2"
TWO_LAYERS = ["--infnet", "blstm", "--infnet_plus", "--infnet_layers", "2"]


def corpora(task: str) -> dict[str, str]:
    """The names of its train, tune and test corpora, as search.py makes them."""
    return {part: f"{task}{part}" for part in ("train", "tune", "test")}


def absent(task: str) -> str | None:
    """Why a task cannot be run here, if it cannot."""
    endings = ("sup", "dev", "test") if task in FETCHED else ("sup", "dev")
    missing = [f"data/{task}{ending}" for ending in endings if not (common.DATA / f"{task}{ending}").exists()]
    return f"{missing[0]} is not there (python data/fetch.py {FETCHED.get(task, task)})" if missing else None


# Arguments of tag.py, by system; those of a network follow its energy
ROWS: dict[str, list[str]] = {
    "energy": ["--model", "crf_blstm"],
    "energy+": ["--model", "crf_blstm", "--plus"],
    "energy+ affixes": ["--model", "crf_blstm", "--plus", "--lexicon", "words-50.txt", "--affixes"],
    "energy+ affixes, syntax-50":
        ["--model", "crf_blstm", "--plus", "--lexicon", "words-50.txt", "--lexicon", "syntax-50.txt", "--affixes"],
    "local cnn window 2": ["--model", "local_cnn", "--window", "2"],
    "cnn window 2": ["--infnet", "cnn", "--infnet_window", "2"],
    "seq2seq scheduled": ["--infnet", "seq2seq", "--infnet_feed", "scheduled"],
    "seq2seq soft": ["--infnet", "seq2seq", "--infnet_feed", "soft"],
    DEEP: TWO_LAYERS,
    f"{DEEP} annealed": [*TWO_LAYERS, "--infnet_annealing", "exponential"],
}  # fmt: skip
for _name in NETWORKS:
    ROWS[f"local {_name}"] = ["--model", f"local_{_name}"]
    ROWS[f"local {_name}+"] = ["--model", f"local_{_name}", "--plus"]
    ROWS[_name] = ["--infnet", _name]
    ROWS[f"{_name}+"] = ["--infnet", _name, "--infnet_plus"]
    for _hidden in HIDDEN:
        ROWS[f"local {_name} hidden {_hidden}"] = ["--model", f"local_{_name}", "--hidden", str(_hidden)]
        ROWS[f"{_name} hidden {_hidden}"] = ["--infnet", _name, "--infnet_hidden", str(_hidden)]


def hidden_of(task: str, row: str) -> int:
    """H where the row does not say one."""
    return 100 if row.startswith("energy") or "cnn" in row else TASKS[task].hidden


def with_hidden(task: str, system: str, hidden: int) -> str:
    return system if hidden == hidden_of(task, system) else f"{system} hidden {hidden}"


def energy_of(system: str) -> str:
    """The row whose energy a system searches."""
    return "energy+" if "+" in system else "energy"


def row_of(system: str) -> str:
    """The row that has to be trained for a system: for those that search the energy themselves, the energy."""
    return system if system in ROWS else energy_of(system)


def is_network(row: str) -> bool:
    return ROWS[row][0] == "--infnet"


def command_of(task: str, row: str, model: str, seed: int, quick: bool) -> list[str]:
    """The arguments of tag.py, but for files.

    Args:
        model: the file of the energy, if it is a network's row.
    """
    train, tune, test = corpora(task).values()
    steps = QUICK_STEPS if quick else STEPS
    option, hidden = "--infnet_hidden" if is_network(row) else "--hidden", hidden_of(task, row)
    size = [] if hidden == 100 or option in ROWS[row] else [option, str(hidden)]
    if is_network(row):
        begin = [test, "--dev", tune, "--model", model, "--decoder", "infnet", *ROWS[row], *size]
        begin += ["--infnet_steps", steps]
    else:
        begin = [test, "--train", train, "--dev", tune, *ROWS[row], *size, "--max_steps", steps, "--restarts", "0"]
    return [*begin, "--seed", str(seed)]


# The tables

Systems = Callable[[str, bool], list[str]]  # of a task; if the run is a quick one


class Table(NamedTuple):
    """What it takes to make a table.

    Attributes:
        tasks: of which tasks there is one.
        systems: the rows.
        measured: what search_measure.py has to find of the energies that they search.
        higher: pairs of systems; whether the first one is the better as in the paper is told below the table.
    """

    title: str
    tasks: tuple[str, ...]
    systems: Systems
    measured: tuple[str, ...] = ()
    higher: Callable[[str], list[tuple[str, str]]] = lambda task: []


def architectures(quick: bool) -> tuple[str, ...]:
    return NETWORKS[:1] if quick else NETWORKS


def table1(task: str, quick: bool) -> list[str]:
    names = architectures(quick)
    return [*(f"local {name}" for name in names), *names, "gradient_descent", "viterbi"]


def table4(task: str, quick: bool) -> list[str]:
    network = TASKS[task].network
    return [f"local {network}+", f"{network}+", "gradient_descent+", "viterbi+"]


def figure1(task: str, quick: bool) -> list[str]:
    names, sizes = (("cnn", "blstm"), (25, 50, 100, 200)) if task == "ner" else (("blstm",), (50, 100, 300))
    return [
        with_hidden(task, f"{kind}{name}", hidden)
        for kind in ("local ", "")
        for name in (names[:1] if quick else names)
        for hidden in (sizes[:2] if quick else sizes)
    ]


def higher1(task: str) -> list[tuple[str, str]]:
    return [
        *((name, f"local {name}") for name in NETWORKS), ("blstm", "cnn"), ("seq2seq", "blstm"),
        *((name, "gradient_descent") for name in NETWORKS), *((name, "viterbi") for name in NETWORKS),
        ("viterbi", "gradient_descent"),
    ]  # fmt: skip


def higher4(task: str) -> list[tuple[str, str]]:
    local, network, descent, viterbi = table4(task, False)
    return [(network, local), (network, descent), (viterbi, network), (viterbi, descent)]


def all_networks(task: str, quick: bool) -> list[str]:
    return [*architectures(quick), "viterbi"]


TABLES = {
    "table1": Table("Table 1: ways to tag", tuple(TASKS), table1, ("curves",), higher1),
    "table2": Table(
        "Table 2: filter widths, {1,3} and {1,5}", ("ner", "pairs", "tw", "dep"),
        lambda task, quick: ["local cnn", "local cnn window 2", "cnn", "cnn window 2"], (),
        lambda task: [("cnn", "local cnn"), ("cnn window 2", "local cnn window 2"), ("local cnn window 2", "local cnn"),
                      ("cnn window 2", "cnn")],
    ),
    "feeds": Table(
        "What the decoder of seq2seq reads", ("ner", "pairs"),
        lambda task, quick: ["local seq2seq", "seq2seq", "seq2seq scheduled", "seq2seq soft", "viterbi"],
    ),
    "table3": Table("Table 3: speed", ("ner", "pairs", "tw", "dep"), all_networks, ("speed",)),
    "table4": Table("Table 4: with the improvements (+)", WITH_PLUS, table4, ("curves",), higher4),
    "table5": Table(
        "Table 5: two layers", ("ner",),
        lambda task, quick: ["local blstm+", "blstm+", DEEP, f"{DEEP} annealed", "viterbi+"], (),
        lambda task: [("blstm+", "local blstm+"), (f"{DEEP} annealed", "blstm+"), ("viterbi+", f"{DEEP} annealed")],
    ),
    "tweets": Table(
        "Tweets: BLSTM-CRF+ with more word features, Viterbi", ("tw",),
        lambda task, quick: ["viterbi+", "energy+ affixes", "energy+ affixes, syntax-50"],
    ),
    "table6": Table("Table 6 and Figure 2: energies", ("ner", "pairs", "tw", "dep"), all_networks, ("curves", "speed")),
    "velocity": Table(
        "Velocity: gradient descent that carries it from batch to batch", ("pairs",),
        lambda task, quick: ["gradient_descent", "viterbi"], ("velocity",),
    ),
    "figure1": Table("Figure 1: hidden sizes", ("ner", "pairs"), figure1),
}  # fmt: skip


# What the paper has (Tu and Gimpel 2019), by table, task and system


def _table1(cnn, blstm, seq2seq, descent, viterbi) -> dict[str, float]:
    found = {"gradient_descent": descent, "viterbi": viterbi}
    for name, (local, network) in zip(NETWORKS, (cnn, blstm, seq2seq)):
        found.update({f"local {name}": local, name: network})
    return found


def _table2(local, local2, network, network2) -> dict[str, float]:
    return {"local cnn": local, "local cnn window 2": local2, "cnn": network, "cnn window 2": network2}


def _table4(name, *values) -> dict[str, float]:
    return dict(zip((f"local {name}+", f"{name}+", "gradient_descent+", "viterbi+"), values))


def _table3(cnn, blstm, seq2seq, viterbi, descent) -> dict[str, float]:
    return dict(cnn=cnn, blstm=blstm, seq2seq=seq2seq, viterbi=viterbi, gradient_descent=descent)


PAPER: dict[str, dict[str, dict[str, float]]] = {
    "table1": {
        "POS": _table1((89.6, 89.9), (88.0, 89.5), (88.9, 89.7), 89.1, 89.2),
        "NER": _table1((79.9, 82.2), (85.0, 85.4), (85.3, 86.1), 84.4, 87.2),
        "CCG": _table1((90.6, 91.3), (92.2, 92.8), (92.7, 92.9), 89.0, 92.4),
    },
    "table2": {
        "POS": _table2(89.2, 88.7, 89.6, 89.0),
        "NER": _table2(84.6, 85.4, 86.7, 86.8),
        "CCG": _table2(89.5, 90.4, 90.3, 91.4),
    },
    "table3": {
        "POS": _table3(12500, 1250, 357, 500, 20),
        "NER": _table3(10000, 1000, 294, 360, 23),
        "CCG": _table3(6666, 1923, 1000, 232, 16),
    },
    "table4": {
        "POS": _table4("cnn", 91.3, 91.3, 90.8, 90.9),
        "NER": _table4("seq2seq", 90.5, 90.8, 89.8, 91.6),
        "CCG": _table4("blstm", 94.1, 94.2, 90.4, 94.3),
    },
    "tweets": {"POS": {"viterbi+": 90.9}},
    "table5": {
        "NER": {"local blstm+": 90.3, "blstm+": 90.7, f"{DEEP} annealed": 91.1, "viterbi+": 91.6},
    },
}
# Table 6: accuracy or F1, and energy (that of the infnet's discrete output; of descents the relaxed one)
PAPER6: dict[str, dict[str, tuple[float, float]]] = {
    "POS": {
        "gold": (100, -159.65), "viterbi": (90.9, -163.20), "infnet": (91.3, -160.87),
        "gradient_descent 10": (89.2, -161.69), "gradient_descent 20": (90.8, -163.06),
        "gradient_descent 30": (90.8, -163.02), "gradient_descent 40": (90.7, -163.03),
        "gradient_descent 50": (90.8, -163.04), "tailored 3": (91.0, -162.59), "tailored 5": (90.9, -162.81),
        "tailored 10": (91.3, -162.85), "warm_start 3": (91.4, -163.06), "warm_start 5": (91.2, -163.12),
        "warm_start 10": (91.2, -163.15),
    },
    "NER": {
        "gold": (100, -230.63), "viterbi": (91.6, -231.53), "infnet": (90.8, -231.34),
        "gradient_descent 10": (81.9, -227.92), "gradient_descent 20": (89.1, -231.17),
        "gradient_descent 30": (89.6, -231.30), "gradient_descent 40": (89.8, -231.34),
        "gradient_descent 50": (89.8, -231.35), "tailored 3": (91.3, -231.32), "tailored 5": (91.2, -231.37),
        "tailored 10": (91.5, -231.39), "warm_start 3": (91.4, -231.42), "warm_start 5": (91.4, -231.45),
        "warm_start 10": (91.5, -231.46),
    },
    "CCG": {
        "gold": (100, -480.07), "viterbi": (94.3, -483.09), "infnet": (94.2, -481.95),
        "gradient_descent 10": (65.1, -412.81), "gradient_descent 20": (74.6, -414.81),
        "gradient_descent 30": (83.0, -447.64), "gradient_descent 40": (88.6, -471.52),
        "gradient_descent 50": (90.0, -476.56), "gradient_descent 100": (90.1, -476.98),
        "tailored 3": (94.3, -481.91), "tailored 5": (94.3, -482.23), "tailored 10": (94.3, -482.56),
        "warm_start 3": (94.4, -482.62), "warm_start 5": (94.4, -482.64), "warm_start 10": (94.4, -482.78),
    },
}  # fmt: skip
