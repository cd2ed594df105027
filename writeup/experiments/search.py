"""Ways to search the energy of a BLSTM-CRF compared, after Tu and Gimpel (2019): their Tables 1, 3 and 6, Figure 2.

    python writeup/experiments/search.py [--quick] [--only TASK ...] [--out FOLDER]

For each task (entities, `ner`; 400 labels, `pairs`) `tag.py` trains a BLSTM-CRF, and a local tagger and an inference
network of each architecture; search_measure.py then measures. What is there, and was made by the same command, is not
made again, so an interrupted experiment goes on where it stopped: models are in results/search/ under --out (default:
writeup/), figures of a task in results/search/TASK.json; delete them to have them made anew. From these it makes
results/search.json, results/search.md and, with matplotlib, figures/search (.svg and .png). --quick trains for a
moment, on the first sentences, in a temporary folder.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from search_measure import Searcher
from tqdm import tqdm

try:
    import matplotlib
except ImportError:
    matplotlib = None
else:
    matplotlib.use("Agg")
    from matplotlib import pyplot

TASKS = {"ner": "entities, F1", "pairs": "400 labels, accuracy"}
NETWORKS = ("cnn", "blstm", "seq2seq")
GD_ITERATIONS = 50  # of gradient descent in Tables 1 and 3
STEPS = {"ner": "60000", "pairs": "60000"}  # sentences to train on at most
QUICK = {"steps": "60", "sentences": 40, "vectors": 400}
# Tu and Gimpel (2019), Table 1: NER by F1, CCG supertags by accuracy, in per cent
PAPER = {
    "ner": dict(local_cnn=79.9, local_blstm=85.0, local_seq2seq=85.3, cnn=82.2, blstm=85.4, seq2seq=86.1,
                gradient_descent=84.4, viterbi=87.2),
    "pairs": dict(local_cnn=90.6, local_blstm=92.2, local_seq2seq=92.7, cnn=91.3, blstm=92.8, seq2seq=92.9,
                  gradient_descent=89.0, viterbi=92.4),
}  # fmt: skip
NO_PLOTS = "no figures: matplotlib is not installed (pip install matplotlib==3.10.9, or the extra `plots`)"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="next to no training, in a temporary folder")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--out", type=Path, help="folder for results/ and figures/ (default: writeup/)")
    args = parser.parse_args(arguments)
    out = args.out or (Path(tempfile.mkdtemp(prefix="search-")) if args.quick else common.WRITEUP)
    folder = out / "results" / "search"
    folder.mkdir(parents=True, exist_ok=True)
    for task in args.only:
        try:
            run_task(folder, task, args.quick)
        except common.RunError as error:
            print(f"search.py: error: {error}", file=sys.stderr)
            return 1
    tasks = {task: found for task in TASKS if (found := common.read_json(folder / f"{task}.json"))}
    summary = dict(quick=args.quick, tasks=tasks)
    path = out / "results" / "search.json"
    common.write_json(path, summary)
    common.write_text(path.with_suffix(".md"), markdown(summary))
    print(f"in {path} and {path.with_suffix('.md')}")
    if matplotlib is None:
        print(NO_PLOTS)
    else:
        draw(tasks, out / "figures")
    return 0


# Running


def networks_of(quick: bool) -> tuple[str, ...]:
    return NETWORKS[:1] if quick else NETWORKS


def commands_of(task: str, quick: bool) -> dict[str, list[str]]:
    """The arguments of tag.py by what the run is called; a model comes before its networks."""
    steps = QUICK["steps"] if quick else STEPS[task]
    train = ["--max_steps", steps, "--restarts", "0"]
    commands = {task: [f"{task}dev", "--model", "crf_blstm", *train]}
    for name in networks_of(quick):
        commands[f"{task}-local_{name}"] = [f"{task}dev", "--model", f"local_{name}", *train]
        network = ["--decoder", "infnet", "--infnet", name, "--infnet_steps", steps]
        commands[f"{task}-{name}"] = [f"{task}dev", "--model", f"{task}.model", *network]
    return commands


def run_task(folder: Path, task: str, quick: bool) -> None:
    """Train what is not there, then measure what is not there, a section at a time."""
    path, commands = folder / f"{task}.json", commands_of(task, quick)
    if quick:
        for name in (f"{task}sup", f"{task}dev"):
            lines = common.first_lines(common.DATA / name, QUICK["sentences"])
            (folder / name).write_text("".join(lines), encoding="utf-8")
        header, *rows = common.first_lines(common.LEXICONS / "words-50.txt", QUICK["vectors"] + 1)
        text = "".join([f"{len(rows)} {header.split()[1]}\n", *rows])
        (folder / "words-50.txt").write_text(text, encoding="utf-8")
    done = common.read_json(path) or {}
    if done.get("commands") != commands:
        done = dict(commands=commands, machine=common.machine(torch.get_num_threads()), metrics={})
    bar = tqdm(commands.items(), desc=task, unit=" runs")
    for stem, command in bar:
        if stem not in done["metrics"] or not list(folder.glob(f"{task}.model")):
            run = common.run_tag(command, folder, stem)
            done["metrics"][stem] = {key: run.metrics[key] for key in ("accuracy", "f1", "train_seconds", "network")}
            common.write_json(path, done)
    missing = [name for name in ("table3", "table6", "networks") if name not in done]
    if missing:
        corpus, names = common.find(f"{task}dev", folder, common.DATA), networks_of(quick)
        files = {name: next(folder.glob(f"{task}.model.{name}*.infnet")) for name in names}
        searcher = Searcher(folder / f"{task}.model", files, corpus, quick)
        done["networks"] = {}
        for name in names:
            local = Searcher(folder / f"{task}-local_{name}.model", {}, corpus, quick).exact()
            done["networks"][name] = dict(searcher.exact(name), local=local["quality"])
        done["table3"] = searcher.table3(GD_ITERATIONS)
        done["table6"] = searcher.table6("cnn")
        done["sentences"] = len(searcher.odd.corpus)
        common.write_json(path, done)


# Tables


def markdown(summary: Mapping[str, Any]) -> str:
    """search.md of what is in search.json."""
    parts = ["# Ways to search\n\nMade by `python writeup/experiments/search.py`.\n"]
    if summary["quick"]:
        parts.append("\nA quick run: the figures mean nothing.\n")
    for task, found in summary["tasks"].items():
        parts.append(f"\n## {task}: {TASKS[task]} (in %), {found['sentences']} sentences of {task}dev\n")
        parts.append("\n### As Table 1\n\n")
        parts.append(common.table(("way", "ours", "paper"), table1(task, found)))
        parts.append("\nThe paper's figures are of CoNLL 2003 and of CCG supertags, and of other word vectors.\n")
        parts.append("\n### As Table 3: sentences a second\n\n")
        rows = [
            [name, f"{r['at_10']:.0f}", f"{r['best']:.0f}", str(r["size"]), f"{r['best'] / viterbi_rate(found):.1f}"]
            for name, r in found["table3"].items()
        ]
        parts.append(common.table(("way", "batches of 10", "best batch", "its size", "times Viterbi"), rows))
        parts.append(f"\nGradient descent: {GD_ITERATIONS} iterations.\n\n### As Table 6\n\n")
        header = (
            "way",
            "N",
            "%",
            "energy",
            "search error",
            "relaxed energy",
            "step",
            "lowest: %",
            "lowest: energy",
            "s",
        )
        parts.append(common.table(header, table6(found["table6"])))
        parts.append(
            "\nEnergies in nats a sentence: of the discrete tagging, and of the relaxed one, which can be no lower "
            "than Viterbi's either. Of descents the last iterate, and the tagging of lowest energy on the way; their "
            "step is tuned on the other sentences of the corpus, but for the oracle, which chooses one for each "
            "sentence by its gold tags.\n"
        )
        parts.append(f"\nMeasured on {common.describe_machine(found['machine'])}.\n")
    return "".join(parts)


def viterbi_rate(found: Mapping[str, Any]) -> float:
    return found["table3"]["viterbi"]["best"]


def table1(task: str, found: Mapping[str, Any]) -> list[list[str]]:
    of = {f"local_{name}": network["local"] for name, network in found["networks"].items()}
    of.update((name, network["quality"]) for name, network in found["networks"].items())
    at_50 = next(row for row in found["table6"]["gradient_descent"] if row["iterations"] == GD_ITERATIONS)
    of.update(gradient_descent=at_50["quality"], viterbi=found["table6"]["viterbi"]["quality"])
    return [[name, f"{100 * value:.1f}", f"{PAPER[task][name]:.1f}"] for name, value in of.items()]


def table6(found: Mapping[str, Any]) -> list[list[str]]:
    rows = [["gold", "", "100.0", f"{found['gold']:.2f}", *[""] * 6]]
    for name in ("viterbi", "oracle", "gradient_descent", "infnet", "tailored", "warm_start"):
        points = found[name] if isinstance(found[name], list) else [found[name]]
        label = {"infnet": f"infnet ({found['network']})", "oracle": "gradient_descent, oracle"}.get(name, name)
        rows.extend(point_row(label, point) for point in points)
    return rows


def point_row(name: str, point: Mapping[str, Any]) -> list[str]:
    shown = [name, str(point.get("iterations", "")), f"{100 * point['quality']:.1f}"]
    for key, scale, digits in (
        ("energy", 1, 2), ("search_error", 1, 3), ("relaxed_energy", 1, 2), ("step", 1, 4), ("lowest_quality", 100, 1),
        ("lowest_energy", 1, 2), ("seconds", 1, 2),
    ):  # fmt: skip
        value = point.get(key)
        shown.append("" if value is None else f"{scale * value:.{digits}f}" if key != "step" else f"{value:g}")
    return shown


# The figure


def draw(tasks: Mapping[str, Any], folder: Path) -> None:
    """As Figure 2: accuracy, and search error, against time."""
    if not tasks:
        return
    matplotlib.rcParams.update({"svg.hashsalt": "search", "svg.fonttype": "none", "font.size": 9})
    figure, axes = pyplot.subplots(len(tasks), 2, figsize=(10, 3.5 * len(tasks)), layout="constrained", squeeze=False)
    for (task, found), row in zip(tasks.items(), axes):
        for axis, (key, scale, label) in zip(row, (("quality", 100, "%"), ("search_error", 1, "search error, nats"))):
            for name in ("viterbi", "gradient_descent", "infnet", "tailored", "warm_start"):
                points = found["table6"][name]
                points = points if isinstance(points, list) else [points]
                axis.plot([p["seconds"] for p in points], [scale * p[key] for p in points], "o-", label=name)
                for point in points:
                    if "iterations" in point:
                        where = (point["seconds"], scale * point[key])
                        axis.annotate(str(point["iterations"]), where, fontsize=7)
            axis.set(xscale="log", xlabel="seconds", ylabel=label, title=f"{task}: {TASKS[task]}")
        row[0].legend()
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("svg", "png"):
        figure.savefig(folder / f"search.{kind}", dpi=120, metadata={"Date": None} if kind == "svg" else None)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
