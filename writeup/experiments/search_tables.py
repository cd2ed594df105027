"""search.md: the tables of search.py, each beside the paper's figures, made of the summary that search.json holds."""

from __future__ import annotations

import common  # before torch

# isort: split

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from runs import spread
from search_rows import (
    BEAM,
    GD_ITERATIONS,
    HIDDEN,
    NETWORKS,
    PAPER,
    PAPER6,
    STEPS,
    TABLES,
    TASKS,
    hidden_of,
    row_of,
    with_hidden,
)  # fmt: skip
from search_summary import ENERGIES, at

LOOKS = (5, 10, 20, 50, 100)  # iterations in the table about gradient descent

Summary = Mapping[str, Any]


def markdown(summary: Summary) -> str:
    """search.md of what is in search.json."""
    parts = ["# Ways to search\n\nMade by `python writeup/experiments/search.py`, after Tu and Gimpel (2019).\n"]
    if summary["quick"]:
        parts.append("\nA quick run: the figures mean nothing.\n")
    parts.append(
        f"\nAll is trained on at most {int(STEPS):,} sentences, with early stopping. Energies are in nats, means over "
        "sentences: energy and search error (energy less that of Viterbi's tagging) are of the discrete tagging, "
        "relaxed energy is of the distributions, and is no lower than Viterbi's either. % is accuracy or F1. The "
        "paper's figures are of other corpora and word vectors: CoNLL 2003 for entities, CCGbank for 400 labels, the "
        "same tweets for `tw`.\n\n"
    )
    parts.append(common.table(("task", "what", "train", "tune", "test"), task_rows(summary), left=2))
    parts.append(
        "\nSentences of the corpora for training; for early stopping and tuning; for all figures. Where no test corpus "
        "is shipped, the tuning corpus is the last tenth of the task's `sup`, and its `dev` the test corpus.\n"
    )
    if summary["missing"]:
        parts.append("\nLeft out: " + "; ".join(f"{task}: {why}" for task, why in summary["missing"].items()) + ".\n")
    for name in TABLES:
        parts.extend(table_parts(name, summary))
    parts.extend(descent_parts(summary))
    seeds = sorted(
        {seed for task in summary["tasks"].values() for s in task["systems"].values() for seed in s.get("seeds", [])}
    )
    parts.append(
        f"\nSeeds: {', '.join(map(str, seeds)) or '-'}; ± is the standard deviation over them. Runs at a time: "
        f"{', '.join(map(str, summary['jobs'])) or '-'}. Measured on {'; '.join(summary['machines'])}.\n"
    )
    return "".join(parts)


def task_rows(summary: Summary) -> Iterator[list[str]]:
    for task, found in summary["tasks"].items():
        yield [task, TASKS[task].title, *(str(found["sizes"].get(part, "-")) for part in ("train", "tune", "test"))]


def table_parts(name: str, summary: Summary) -> Iterator[str]:
    """A table for each task that has results for it."""
    title, shown = TABLES[name].title, False
    for task in TABLES[name].tasks:
        found = summary["tasks"].get(task)
        body = PARTS.get(name, quality_table)(name, task, found) if found else ""
        if body:
            yield "" if shown else f"\n## {title}\n"
            yield f"\n### {title.split(':')[0]}, {task}: {TASKS[task].title}\n\n{body}"
            shown = True


def paper_of(name: str, task: str) -> Mapping[str, float]:
    return PAPER.get(name, {}).get(TASKS[task].paper, {})


def quality_table(name: str, task: str, found: Mapping[str, Any]) -> str:
    """Tables 1, 2, 4 and 5: quality beside the paper's, and energies."""
    systems, paper = found["systems"], paper_of(name, task)
    wanted = TABLES[name].systems(task, False)
    names = [system for system in shown_in(wanted, systems) if system in systems]
    if not any(row_of(system) == system for system in names):  # only what searches the energy itself
        return ""
    rows = []
    for system in names:
        of = systems[system]
        value = paper.get(system)
        rows.append([system, spread(of["quality"], 100, 1), "" if value is None else f"{value:.1f}", *energy_cells(of)])
    text = common.table(("way", "%", "paper %", "energy", "search error", "relaxed energy"), rows)
    left = [system for system in wanted if system not in systems]
    if left:
        text += f"\nNot run: {', '.join(left)}.\n"
    ours = {system: systems[system]["quality"]["mean"] * 100 for system in names}
    text += agreement(TABLES[name].higher(task), ours, paper, "points")
    if name == "table1":
        text += difference_table(task, found)
    return text


def shown_in(wanted: Sequence[str], systems: Mapping[str, Any]) -> Iterator[str]:
    """The systems of a table, each followed by what is a variant of it that was measured with the curves."""
    for system in wanted:
        yield system
        for variant in (f"{system} beam {BEAM}", "gradient_descent oracle" + system.removeprefix("gradient_descent")):
            related = variant.startswith(system) or system.startswith("gradient_descent")
            if related and variant in systems and variant not in wanted:
                yield variant


def energy_cells(of: Mapping[str, Any]) -> list[str]:
    digits = {"search_error": 3}
    return ["" if of[name] is None else f"{of[name]:.{digits.get(name, 2)}f}" for name in ENERGIES]


def agreement(
    pairs: Iterable[tuple[str, str]], ours: Mapping[str, float], paper: Mapping[str, float], unit: str
) -> str:
    """Which of two systems has the higher figure here and in the paper, in two sentences made of the figures."""
    same, other = [], []
    for one, two in pairs:
        if {one, two} <= ours.keys() and {one, two} <= paper.keys():
            here, there = ours[one] - ours[two], paper[one] - paper[two]
            said = f"{one} − {two} {here:+.1f} ({there:+.1f})"
            (same if here * there > 0 or here == there else other).append(said)
    if not same and not other:
        return ""
    return (
        f"\nDifferences in {unit}, the paper's in brackets. The same sign as in the paper: {'; '.join(same) or 'none'}"
        f". Another: {'; '.join(other) or 'none'}.\n"
    )


def difference_table(task: str, found: Mapping[str, Any]) -> str:
    """Networks beside gradient descent, with the bootstrap over sentences."""
    if not found["differences"]:
        return ""
    rows = [
        [of["a"], f"{100 * of['value']:+.2f}", f"{100 * of['low']:+.2f} to {100 * of['high']:+.2f}", f"{of['p']:.4f}"]
        for of in found["differences"]
    ]  # fmt: skip
    text = common.table(("network", "minus gradient descent, points", "95 % interval", "p"), rows)
    return (
        f"\n### Table 1, {task}: networks less gradient descent\n\n{text}\n"
        f"Gradient descent from a random start with {GD_ITERATIONS} iterations, its step tuned. Paired bootstrap over "
        "sentences, 10,000 draws (`eval.paired_bootstrap`), seed 0; p is two-sided.\n"
    )


def speed_table(name: str, task: str, found: Mapping[str, Any]) -> str:
    """Table 3."""
    speed = found["speed"].get("energy")
    if not speed:
        return ""
    rates, paper = speed["procedures"], paper_of(name, task)
    rows = [
        [way, f"{of['at_10']:.0f}", f"{of['best']:.0f}", str(of["size"]),
         f"{of['best'] / rates['viterbi']['best']:.2f}", f"{paper[way]:.0f}" if way in paper else ""]
        for way, of in rates.items()
    ]  # fmt: skip
    text = common.table(("way", "batches of 10", "best batch", "its size", "times Viterbi", "paper, of 10"), rows)
    text += (
        f"\nSentences a second, from numbered words to tags, {speed['sentences']} sentences of the test corpus; the "
        f"paper's on a GPU. Gradient descent: {GD_ITERATIONS} iterations. Viterbi and its like are first given the "
        "emissions by the BLSTM-CRF's network, which is in their time.\n"
    )
    for way, why in speed["absent"].items():
        text += f"\nNot measured: {way} ({why}).\n"
    pairs = [("cnn", "blstm"), ("blstm", "seq2seq"), ("cnn", "viterbi"), ("blstm", "viterbi"), ("seq2seq", "viterbi"),
             ("viterbi", "gradient_descent")]  # fmt: skip
    ours = {way: of["at_10"] for way, of in rates.items()}
    faster, slower = [], []
    for one, two in pairs:
        if {one, two} <= ours.keys():
            said = f"{one} / {two} {ours[one] / ours[two]:.2f} ({paper[one] / paper[two]:.2f})"
            (faster if (ours[one] > ours[two]) == (paper[one] > paper[two]) else slower).append(said)
    return text + (
        f"\nRatios at 10 a batch, the paper's in brackets. The same one is faster: {'; '.join(faster) or 'none'}. "
        f"The other one: {'; '.join(slower) or 'none'}.\n"
    )


def curve_table(name: str, task: str, found: Mapping[str, Any]) -> str:
    """Table 6, of each energy."""
    text = ""
    for energy, curves in found["curves"].items():
        points, paper = dict(curve_points(curves)), PAPER6[TASKS[task].paper]
        rows = [
            ["gold", "", "100.0", f"{curves['gold']:.2f}", *[""] * 6, *paper_cells(paper.get("gold"))],
            *(point_row(way, point, paper.get(key)) for key, (way, point) in points.items()),
        ]
        header = ("way", "N", "%", "energy", "search error", "relaxed energy", "step", "lowest: %", "lowest: energy",
                  "lowest: search error", "paper %", "paper energy")  # fmt: skip
        tuned_on = ", ".join(f"{way} {count}" for way, count in curves["tuned_on"].items())
        plus = "BLSTM-CRF+" if energy == "energy+" else "BLSTM-CRF"
        text += f"{plus}, the network is {curves['network']}.\n\n{common.table(header, rows)}"
        text += (
            "\nOf descents the last iterate, and the tagging of lowest energy on the way. Their step is tuned for each "
            f"N on sentences of the tuning corpus ({tuned_on}); the oracle's is chosen for each test sentence by its "
            "gold tags. The paper's are of its BLSTM-CRF+; its energies of descents are relaxed, that of the network "
            "is of its discrete output; energies of different models do not compare.\n"
        )
        pairs = [("infnet", "gradient_descent 50"), ("tailored 10", "infnet"), ("warm_start 10", "infnet"),
                 ("warm_start 10", "gradient_descent 50"), ("viterbi", "infnet")]  # fmt: skip
        qualities = {key: 100 * point["quality"] for key, (_, point) in points.items()}
        text += agreement(pairs, qualities, {key: value for key, (value, _) in paper.items()}, "points")
        reported = {
            key: point["energy"] if point["relaxed_energy"] is None or key == "infnet" else point["relaxed_energy"]
            for key, (_, point) in points.items()
        }
        text += agreement(pairs, reported, {key: value for key, (_, value) in paper.items()}, "nats of energy") + "\n"
    return text


def curve_points(curves: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, Mapping[str, Any]]]]:
    """A key that the paper's figures have too, and what the row is called with its figures."""
    yield "viterbi", ("viterbi", curves["viterbi"])
    for point in curves["oracle"]:
        yield f"oracle {point['iterations']}", ("gradient_descent, oracle", point)
    for way in ("gradient_descent", "tailored", "warm_start"):
        if way == "tailored":
            for network, point in curves["networks"].items():
                yield "infnet" if network == curves["network"] else network, (f"infnet ({network})", point)
        for point in curves[way]:
            yield f"{way} {point['iterations']}", (way, point)


def point_row(way: str, point: Mapping[str, Any], paper: tuple[float, float] | None) -> list[str]:
    shown = [way, str(point.get("iterations", "")), f"{100 * point['quality']:.1f}"]
    for key, scale, form in (
        ("energy", 1, ".2f"), ("search_error", 1, ".3f"), ("relaxed_energy", 1, ".2f"), ("step", 1, "g"),
        ("lowest_quality", 100, ".1f"), ("lowest_energy", 1, ".2f"), ("lowest_search_error", 1, ".3f"),
    ):  # fmt: skip
        value = point.get(key)
        shown.append("" if value is None else f"{scale * value:{form}}")
    return [*shown, *paper_cells(paper)]


def paper_cells(paper: tuple[float, float] | None) -> list[str]:
    return ["", ""] if paper is None else [f"{paper[0]:.1f}", f"{paper[1]:.2f}"]


def velocity_table(name: str, task: str, found: Mapping[str, Any]) -> str:
    """What clearing the velocity is worth."""
    velocity, paper = found["velocity"].get("energy"), PAPER6[TASKS[task].paper]
    if not velocity:
        return ""
    cleared, carried = (velocity["points"][way] for way in ("cleared", "carried"))
    rows = []
    for ours, theirs in zip(cleared, carried):
        of_paper = paper.get(f"gradient_descent {ours['iterations']}")
        cells = [
            cell for point in (ours, theirs)
            for cell in (f"{100 * point['quality']:.1f}", f"{point['search_error']:.2f}", f"{point['step']:g}")
        ]  # fmt: skip
        theirs_too = [f"{of_paper[0]:.1f}", f"{of_paper[1] - paper['viterbi'][1]:.2f}"] if of_paper else ["", ""]
        rows.append([str(ours["iterations"]), *cells, *theirs_too])
    header = (
        "N", "cleared: %", "cleared: search error", "cleared: step", "carried: %", "carried: search error",
        "carried: step", "paper %", "paper: search error",
    )  # fmt: skip
    return common.table(header, rows) + (
        "\nThe last iterate's tags; sentences ten at a time, in the order of the corpus, both ways from the same "
        f"random starts. Steps tuned for each N on {velocity['tuned_on']} sentences of the tuning corpus. The paper's "
        "code does not clear the velocity; its figures are of its BLSTM-CRF+, its search error is the relaxed one.\n"
    )


def hidden_table(name: str, task: str, found: Mapping[str, Any]) -> str:
    """Figure 1."""
    systems, rows, differing = found["systems"], [], []
    for kind in ("local ", ""):
        for network in NETWORKS:
            of = [systems.get(with_hidden(task, f"{kind}{network}", hidden)) for hidden in HIDDEN]
            if any(of):
                rows.append(
                    [f"{kind}{network}", *("" if one is None else spread(one["quality"], 100, 1) for one in of)]
                )
    if not any(
        systems.get(with_hidden(task, network, hidden))
        for network in NETWORKS
        for hidden in HIDDEN
        if hidden != hidden_of(task, network)
    ):
        return ""
    for network in NETWORKS:
        for hidden in HIDDEN:
            pair = [systems.get(with_hidden(task, f"{kind}{network}", hidden)) for kind in ("", "local ")]
            if all(pair):
                differing.append(100 * (pair[0]["quality"]["mean"] - pair[1]["quality"]["mean"]))
    text = common.table(("way", *(f"H = {hidden}" for hidden in HIDDEN)), rows)
    if differing:
        above = sum(difference > 0 for difference in differing)
        text += (
            "\nThe paper finds the networks above their local taggers at all sizes, seq2seq above BLSTM above CNN for "
            f"entities. Here a network is above the local tagger of its architecture and size in {above} of "
            f"{len(differing)} cases, by {min(differing):+.1f} to {max(differing):+.1f} points.\n"
        )
    return text


PARTS = {"table3": speed_table, "table6": curve_table, "velocity": velocity_table, "figure1": hidden_table}


def descent_parts(summary: Summary) -> Iterator[str]:
    """What gradient descent's search error may depend on: a row for each energy."""
    rows = []
    for task, found in summary["tasks"].items():
        for energy, curves in found["curves"].items():
            mark = energy.removeprefix("energy")
            points = [at(curves["gradient_descent"], count) for count in LOOKS]
            local = [
                found["systems"][f"local {name}{mark}"]["quality"]["mean"]
                for name in NETWORKS if f"local {name}{mark}" in found["systems"]
            ]  # fmt: skip
            gap = f"{100 * (curves['viterbi']['quality'] - max(local)):+.1f}" if local else ""
            errors = ["" if point is None else f"{point['search_error']:.3f}" for point in points]
            rows.append([task, f"BLSTM-CRF{mark}", str(found["sizes"]["train"]), gap, *errors])
    if rows:
        header = ("task", "energy", "training sentences", "Viterbi less best local tagger, points",
                  *(f"search error, N = {count}" for count in LOOKS))  # fmt: skip
        yield "\n## Gradient descent\n\n" + common.table(header, rows, left=2)
        yield "\nNats a sentence, of the last iterate's tags.\n"
