"""The tables and the figure of perplexity.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import common
import numpy as np
import plots

# Tu and Gimpel (2019), section 6.2: words and gold tags, 547 tweets, BLSTM-CRF
PAPER = {"blstm": (0.282, 0.195), "gradient_descent": (0.122, 0.064)}
NOTES = """
Search error: energy of what was found minus that of Viterbi's tagging, in nats, of the discrete tagging or of the
relaxed one; of gradient descent, of its last iterate. Exact zeros are ties, and share their mean rank: where nearly all
are 0, ρ rests on the few sentences that are not. ρ is Spearman's, of perplexity (per token, the end counted) and search
error over sentences, with the 95 % percentile interval of {draws:,} bootstrap draws of sentences; a draw in which all
errors are the same has no ρ and is left out. Given length: the partial correlation of ranks, the sentence's length held
fixed; the paper does not show it, but search error adds up over tokens. `-`: not defined, the errors are all the same.
The paper's figures are of tweets, and it does not say of which output.
"""


def markdown(summary: Mapping[str, Any]) -> str:
    """perplexity.md of what is in perplexity.json."""
    parts = ["# Perplexity and search error\n\nMade by `python writeup/experiments/perplexity.py`.\n"]
    if summary["quick"]:
        parts.append("\nA quick run: the figures mean nothing.\n")
    for task, of in summary["tasks"].items():
        parts.append(f"\n## {task}: {of['sentences']:,} sentences, {of['tokens']:,} tokens ({of['source']})\n\n")
        header = (
            "language model of", "perplexity", "on the tuning text", "symbols", "unknown", "epochs", "ρ with length"
        )  # fmt: skip
        parts.append(common.table(header, [language_row(*pair) for pair in of["language_models"].items()]))
        header = (
            "way to search", "output", "mean error", "exact zeros", "ρ with length", "ρ words", "ρ tags",
            "ρ words, given length", "ρ tags, given length", "paper: words, tags",
        )  # fmt: skip
        parts.append("\n" + common.table(header, [search_row(row) for row in of["rows"]], left=2))
        parts.append(
            "\nHow much higher ρ is for a network than for gradient descent (paper: 0.160 words, 0.131 tags):\n\n"
        )
        header = ("network", "output", "words", "tags")
        parts.append(common.table(header, [gain_row(row) for row in of["rows"] if row["more_than_descent"]], left=2))
        step = next(row["step"] for row in of["rows"] if row["way"] == "gradient_descent")
        parts.append(
            f"\nGradient descent: {of['iterations']} iterations of step {step:g}, the best on the tuning text.\n"
        )
        parts.append(f"Measured on {'; '.join(of['machines'])}.\n")
    parts.append(NOTES.format(draws=summary["draws"]))
    return "".join(parts)


def language_row(name: str, of: Mapping[str, Any]) -> list[str]:
    perplexities = (f"{of[key]:.1f}" for key in ("perplexity", "tuning_perplexity"))
    return [
        name, *perplexities, f"{of['symbols']:,}", f"{of['unknown']:.1%}", str(of["epochs"]), cell(of["rho_length"])
    ]  # fmt: skip


def search_row(row: Mapping[str, Any]) -> list[str]:
    rhos = [cell(row[key][of]) for key in ("rho", "partial") for of in ("words", "tags")]
    paper = next((of for way, of in PAPER.items() if row["way"] == way or row["way"].startswith(f"{way}_")), None)
    beside = "{:.3f}, {:.3f}".format(*paper) if paper else ""
    return [
        row["way"], row["output"], f"{row['mean']:.4f}", f"{row['zeros']:.1%}", cell(row["rho_length"]), *rhos, beside
    ]  # fmt: skip


def gain_row(row: Mapping[str, Any]) -> list[str]:
    return [row["way"], row["output"], *(cell(row["more_than_descent"][of], "+") for of in ("words", "tags"))]


def cell(interval: Mapping[str, float] | None, sign: str = "") -> str:
    """The value, and in parentheses its interval."""
    if interval is None:
        return "-"
    value, low, high = (f"{interval[key]:{sign}.3f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def draw(task: str, columns: Mapping[str, np.ndarray], folder: Path) -> None:
    """A point for each sentence: perplexity and search error, its length as its colour.

    Args:
        columns: `length`, the perplexities `words` and `tags`, and the errors of each way by its label.
    """
    plots.prepare("perplexity")
    errors = [name for name in columns if name not in ("length", "words", "tags")]
    highest = max(float(columns[error].max()) for error in errors)
    panels = [(error, of) for error in errors for of in ("words", "tags")]
    size = dict(figsize=(3.4 * len(panels), 3.2), layout="constrained", sharey=True)
    figure, axes = plots.pyplot.subplots(1, len(panels), **size)
    for axis, (error, of) in zip(axes, panels):
        marks = axis.scatter(
            columns[of], columns[error], s=7, c=columns["length"], cmap="viridis", linewidths=0, rasterized=True
        )
        axis.set(xscale="log", title=f"{task}: {error}", xlabel=f"perplexity of the {of}")
        axis.set_yscale("symlog", linthresh=0.1)
        axis.set_ylim(-0.02, 0.1 + 1.5 * highest)
    axes[0].set_ylabel("search error, nats")
    figure.colorbar(marks, ax=axes, label="tokens")
    plots.save(figure, folder / f"perplexity_{task}")
