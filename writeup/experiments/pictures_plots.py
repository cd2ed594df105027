"""The plots of pictures.py: matplotlib's, as SVG that takes its colours from the page. Each returns an `<svg>`."""

from __future__ import annotations

# isort: split

import io
from collections.abc import Mapping
from typing import Any

import pictures_page as pages
import plots
from plots import matplotlib, pyplot

from chain import LinearChain
from decoders.gradient_descent import Descent, descend, random_logits
from decoders.mean_field import Settings, fit

STEPS = (0.02, 0.1, 0.5)  # of the descents
ITERATIONS = 60


def prepare() -> None:
    """Settings of all plots. Colours are those for which pictures_page.themed puts the page's."""
    plots.prepare("pictures", 10)
    matplotlib.rcParams.update(dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), pages.INK))
    matplotlib.rcParams.update(dict.fromkeys(("xtick.color", "ytick.color"), pages.INK))
    matplotlib.rcParams["axes.prop_cycle"] = matplotlib.cycler(color=pages.COLOURS)


def plot(name: str, label: str, figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    return pages.themed(out.getvalue(), name, label)


def axes_of(width: float, height: float) -> tuple[Any, Any]:
    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def ladder(systems: Mapping[str, Any]) -> str:
    figure, axes = axes_of(4.6, 0.42 * len(systems) + 0.9)
    for row, (name, system) in enumerate(reversed(systems.items())):
        of = system["accuracy"]["all"]
        colour = pages.COLOURS[1 if name == "crf_neural words-50" else 0]
        axes.errorbar(100 * of["mean"], row, xerr=100 * (of["deviation"] or 0), fmt="o", color=colour, markersize=7)
    axes.set_yticks(range(len(systems)), list(reversed(systems)))
    axes.grid(axis="x", alpha=0.25)
    axes.set_xlabel("tokens of endev tagged right, %")
    return plot("ladder", "Accuracy of each system; the table below has the numbers", figure)


def by_words(systems: Mapping[str, Any]) -> str:
    figure, axes = axes_of(4.6, 3.2)
    for number, (name, system) in enumerate(systems.items()):
        of = [system["accuracy"][category]["mean"] for category in ("known", "seen", "novel")]
        shift = 0.1 * (number - (len(systems) - 1) / 2)
        points = [(place + shift, 100 * value) for place, value in enumerate(of) if value is not None]
        axes.plot(*zip(*points), "o", markersize=6, label=name)
    axes.set_xticks(range(3), ["known", "seen", "novel"])
    axes.grid(axis="y", alpha=0.25)
    axes.set_ylabel("tagged right, %")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    return plot("words", "Accuracy on known, seen and novel words", figure)


def learning(curves: Mapping[str, Any], systems: Mapping[str, Any]) -> str:
    figure, axes = axes_of(4.6, 3.2)
    names = {system["command"].removeprefix("tag.py ") + " --seed 0": name for name, system in systems.items()}
    order = list(systems)
    for command, result in sorted(curves.items(), key=lambda item: order.index(names.get(item[0], order[0]))):
        history = [entry for entry in result["metrics"]["history"] if entry["loss"] is not None]
        name = names.get(command)
        if name and name != "hmm":  # it takes no steps, and its loss counts the words too
            points = [entry["seconds"] for entry in history], [entry["loss"] for entry in history]
            axes.plot(*points, label=name, color=pages.COLOURS[order.index(name) % len(pages.COLOURS)], linewidth=1.4)
    axes.set_xscale("log")
    axes.set_xlabel("training, seconds")
    axes.set_ylabel("cross-entropy of endev, nats a token")
    axes.legend(frameon=False, fontsize=8)
    return plot("learning", "Cross-entropy of the development corpus over time", figure)


def lamp_bars(artificial: Mapping[str, Any]) -> str:
    rows = [(bound["tagger"], bound["expected"], 3) for bound in artificial["bounds"] if bound["expected"]]
    for name, system in artificial["systems"].items():
        if name.startswith("lamp"):
            accuracies = [run["accuracy"] for run in system["runs"]]
            rows.append((name.removeprefix("lamp "), sum(accuracies) / len(accuracies), 1))
    rows.sort(key=lambda row: row[1])
    figure, axes = axes_of(4.8, 0.3 * len(rows) + 0.7)
    axes.barh([row[0] for row in rows], [100 * row[1] for row in rows], color=[pages.COLOURS[row[2]] for row in rows])
    axes.set_xlim(40, 100)
    axes.set_xlabel("tags right, % (from 40)")
    axes.tick_params(axis="y", labelsize=8)
    return plot("lamp", "Accuracy on lamp, measured and computed", figure)


def viterbi_energy(chain: LinearChain) -> float:
    return -chain.score(chain.argmax).item()


def descend_from_chance(chain: LinearChain, step: float) -> Descent:
    """From random logits, of one sentence."""
    n, k = chain.emit.shape[1:]
    return descend(chain, random_logits(n, k, seed=0).expand(1, n, k), ITERATIONS, step)


def descents(chain: LinearChain) -> tuple[str, str]:
    """Energies on the way of some descents, and the free energy of mean field, above what they cannot pass."""
    best = viterbi_energy(chain)
    figure, axes = axes_of(4.6, 3.2)
    for number, step in enumerate(STEPS):
        found = descend_from_chance(chain, step)
        colour = pages.COLOURS[number]
        axes.plot(found.relaxed_energies[:, 0], color=colour, label=f"step {step:g}, relaxed", linewidth=1.4)
        axes.plot(found.energies[:, 0], ":", color=colour, label=f"step {step:g}, discrete", linewidth=1.4)
    axes.axhline(best, color=pages.INK, linewidth=1, linestyle="--", label="Viterbi")
    axes.set_ylim(best - 3, best + 60)
    axes.set_xlabel("iterations of gradient descent")
    axes.set_ylabel("energy, nats")
    axes.legend(frameon=False, fontsize=8)
    search = plot("descent", "Energies of gradient descent never fall below Viterbi's", figure)
    figure, axes = axes_of(4.6, 3.2)
    curve = fit(chain, Settings(sweeps=20)).free_energies[:, 0]
    axes.plot(curve, "o-", color=pages.COLOURS[3], label="free energy E(q) - H(q)", markersize=4, linewidth=1.4)
    axes.axhline(-chain.log_partition.item(), color=pages.INK, linewidth=1, linestyle="--", label="-log Z")
    axes.set_xlabel("sweeps of mean field")
    axes.set_ylabel("nats")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8)
    return search, plot("mean-field", "The free energy falls towards minus log Z and never passes it", figure)
