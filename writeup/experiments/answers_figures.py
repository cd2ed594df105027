"""The figures of answers.py: hyperparameters against quality, the course of training, and more training data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plots
from answers_rows import BASE, PARTS

DEFAULTS = {"rnn_dim": 32.0, "lr": 0.02, "batch_size": 32.0}  # of the row BASE
LEARNERS = ("hmm", "crf_backprop", "crf_neural")


def draw(summary: Mapping[str, Any], results: Mapping[str, Mapping[int, Any]], folder: Path) -> None:
    """answers_settings, answers_curves and answers_data (.svg and .png) of the rows that are there."""
    plots.prepare("answers")
    plots.save(settings_figure(summary["systems"]), folder / "answers_settings")
    plots.save(curves_figure(results), folder / "answers_curves")
    plots.save(data_figure(summary["systems"]), folder / "answers_data")


def varied(option: str, names: Sequence[str]) -> dict[float, str]:
    """The rows that differ from BASE in this option alone, by its value; BASE among them."""
    found = {DEFAULTS[option]: BASE} if BASE in names else {}
    for name in names:
        if match := re.fullmatch(rf"{option} ([\d.]+)", name):
            found[float(match[1])] = name
    return dict(sorted(found.items()))


def panels(titles: Sequence[str]) -> tuple[Any, Sequence[Any]]:
    figure, axes = plots.pyplot.subplots(1, len(titles), figsize=(3.6 * len(titles), 3.2), layout="constrained")
    for axis, title in zip(axes, titles):
        axis.set_title(title)
        axis.grid(alpha=0.25)
    return figure, axes


def settings_figure(systems: Mapping[str, Any]) -> Any:
    figure, axes = panels(list(DEFAULTS))
    for axis, option in zip(axes, DEFAULTS):
        rows = varied(option, list(systems))
        of = [systems[name]["conditional_cross_entropy"] for name in rows.values()]
        bars = [value["deviation"] or 0.0 for value in of]
        axis.errorbar(list(rows), [value["mean"] for value in of], yerr=bars, fmt="o-", markersize=4, linewidth=1)
        axis.set_xscale("log")
        axis.set_xticks(list(rows), [f"{value:g}" for value in rows], minor=False)
        axis.set_xticks([], minor=True)
    axes[0].set_ylabel("cross-entropy of endev, nats a token")
    return figure


def curves_figure(results: Mapping[str, Mapping[int, Any]]) -> Any:
    """Seed 0: the rate over sentences, size and batch over seconds."""
    figure, axes = panels(["rnn_dim", "lr", "batch_size"])
    for axis, option, along in zip(axes, ("rnn_dim", "lr", "batch_size"), ("seconds", "sentences", "seconds")):
        for value, name in varied(option, list(results)).items():
            looks = [look for look in results[name].get(0, {}).get("metrics", {}).get("history", []) if look["loss"]]
            points = [look[along] for look in looks], [look["loss"] for look in looks]
            axis.plot(*points, ".-", label=f"{value:g}", linewidth=1, markersize=4)
        axis.set_xlabel(f"training, {along}")
        if axis.lines:
            axis.legend(frameon=False, fontsize=7)
    axes[0].set_ylabel("cross-entropy of endev, nats a token")
    return figure


def data_figure(systems: Mapping[str, Any]) -> Any:
    figure, axes = panels(["all words", "novel words"])
    for axis, words in zip(axes, ("all", "novel")):
        for learner in LEARNERS:
            names = {1 / part: f"1/{part} {learner}" for part in PARTS} | {1.0: f"all {learner}"}
            rows = {share: systems[name]["alike"][words] for share, name in names.items() if name in systems}
            means = [100 * of["mean"] for of in rows.values() if of["mean"] is not None]
            bars = [100 * (of["deviation"] or 0.0) for of in rows.values() if of["mean"] is not None]
            shares = [share for share, of in rows.items() if of["mean"] is not None]
            axis.errorbar(shares, means, yerr=bars, fmt="o-", label=learner, markersize=4, linewidth=1)
        axis.set_xscale("log", base=2)
        axis.set_xticks([*(1 / part for part in PARTS), 1.0], [*(f"1/{part}" for part in PARTS), "all"])
        axis.set_xlabel("share of ensup")
    axes[0].set_ylabel("tokens of endev tagged right, %")
    axes[0].legend(frameon=False)
    return figure
