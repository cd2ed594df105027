"""The figures of search.py: hidden sizes (the paper's Figure 1), and quality and search error by time (Figure 2)."""

from __future__ import annotations

import common  # noqa: F401  before torch

# isort: split

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plots
from plots import pyplot
from search_rows import HIDDEN, NETWORKS, TASKS, with_hidden

DESCENTS = ("gradient_descent", "tailored", "warm_start")


def draw(summary: Mapping[str, Any], folder: Path) -> None:
    """What there are results for."""
    plots.prepare("search")
    by_time = {
        task: found
        for task, found in summary["tasks"].items()
        if all("energy" in found[part] for part in ("speed", "curves"))
    }
    if by_time:
        plots.save(draw_times(by_time), folder / "search")
    by_size = {task: sizes for task, found in summary["tasks"].items() if (sizes := lines(task, found["systems"]))}
    if by_size:
        plots.save(draw_sizes(by_size), folder / "search_hidden")


def draw_times(tasks: Mapping[str, Any]) -> Any:
    """As Figure 2: quality, and search error, against the time that the test corpus takes; N beside the points."""
    figure, axes = pyplot.subplots(len(tasks), 2, figsize=(10, 3.5 * len(tasks)), layout="constrained", squeeze=False)
    for (task, found), row in zip(tasks.items(), axes):
        curves, speed = found["curves"]["energy"], found["speed"]["energy"]
        seconds = {way: curves["sentences"] / rate for way, rate in speed["at_once"].items()}
        own = speed["network"]
        single = {"viterbi": curves["viterbi"], f"infnet ({own})": curves["networks"][own]}
        times = {"viterbi": seconds["viterbi"], f"infnet ({own})": seconds[own]}
        for axis, (key, scale, label) in zip(row, (("quality", 100, "%"), ("search_error", 1, "search error, nats"))):
            for name, point in single.items():
                axis.plot([times[name]], [scale * point[key]], "o", label=name)
            for way in DESCENTS:
                x = [curves["sentences"] / speed["descents"][way][str(p["iterations"])] for p in curves[way]]
                y = [scale * point[key] for point in curves[way]]
                axis.plot(x, y, "o-", label=way)
                for where, point in zip(zip(x, y), curves[way]):
                    axis.annotate(str(point["iterations"]), where, fontsize=7)
            axis.set(xscale="log", xlabel="seconds", ylabel=label, title=f"{task}: {TASKS[task].title}")
        row[0].legend()
    return figure


def lines(task: str, systems: Mapping[str, Any]) -> dict[str, dict[int, float]]:
    """Quality by hidden size, of what has been trained with several."""
    found = {}
    for name in (f"{kind}{network}" for network in NETWORKS for kind in ("", "local ")):
        of = {hidden: systems.get(with_hidden(task, name, hidden)) for hidden in HIDDEN}
        points = {hidden: 100 * one["quality"]["mean"] for hidden, one in of.items() if one}
        if len(points) > 1:
            found[name] = points
    return found


def draw_sizes(tasks: Mapping[str, dict[str, dict[int, float]]]) -> Any:
    """As Figure 1: quality against H; local taggers are broken lines."""
    figure, axes = pyplot.subplots(1, len(tasks), figsize=(6 * len(tasks), 4), layout="constrained", squeeze=False)
    for (task, of_systems), axis in zip(tasks.items(), axes[0]):
        for name, points in of_systems.items():
            local = name.startswith("local")
            color = f"C{NETWORKS.index(name.removeprefix('local '))}"
            axis.plot(list(points), list(points.values()), "s--" if local else "o-", color=color, label=name)
        axis.set(xscale="log", xlabel="H", ylabel="%", title=f"{task}: {TASKS[task].title}")
        axis.set_xticks(HIDDEN, [str(hidden) for hidden in HIDDEN])
        axis.minorticks_off()
        axis.legend()
    return figure
