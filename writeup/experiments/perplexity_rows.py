"""From the results of perplexity.py to what its tables and its figure show."""

from __future__ import annotations

import common  # before torch

# isort: split

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from perplexity_ranks import Spearman

from eval import Interval

OUTPUTS = ("discrete", "relaxed")


def quantities(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Of each sentence: its length, its perplexities, its search error by each way and output."""
    lengths = np.array(found["lengths"], dtype=float)
    columns = dict(length=lengths)
    for name, of in found["language_models"].items():
        columns[name] = np.exp(-np.array(of["log_p"]) / (lengths + 1))
    for way, of in found["ways"].items():
        columns.update({f"{way} {kind}": np.array(of["errors"][kind]) for kind in OUTPUTS if of["errors"][kind]})
    return columns


def summarize(found: Mapping[str, Any], draws: int) -> dict[str, Any]:
    """What the tables of a task show."""
    columns = quantities(found)
    ranks = Spearman.of(columns, draws)
    lengths = columns["length"]
    models = {
        name: dict(
            perplexity=float(np.exp(-np.sum(of["log_p"]) / (lengths + 1).sum())),
            rho_length=plain(ranks.rho("length", name)),
            **{key: of[key] for key in ("symbols", "unknown", "epochs", "tuning_perplexity")},
        )
        for name, of in found["language_models"].items()
    }
    rows = []
    for way, of in found["ways"].items():
        for kind in OUTPUTS:
            column = f"{way} {kind}"
            if column in columns:
                rows.append(dict(
                    way=way, output=kind, step=of.get("step"), mean=float(columns[column].mean()),
                    lowest=float(columns[column].min()), zeros=float((columns[column] == 0).mean()),
                    rho_length=plain(ranks.rho("length", column)),
                    rho={name: plain(ranks.rho(name, column)) for name in models},
                    partial={name: plain(ranks.rho(name, column, given="length")) for name in models},
                    more_than_descent={
                        name: plain(ranks.difference(name, column, f"gradient_descent {kind}")) for name in models
                    } if "network" in of["settings"] else None,
                ))  # fmt: skip
    everything = [*found["language_models"].values(), *found["ways"].values()]
    return dict(
        source=found["source"], sentences=len(lengths), tokens=int(lengths.sum()), language_models=models, rows=rows,
        iterations=found["ways"]["gradient_descent"]["settings"]["iterations"],
        machines=sorted({common.describe_machine(result["machine"]) for result in everything}),
    )  # fmt: skip


def plain(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else asdict(interval)


def points(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What the figure shows: a network, the BLSTM where there is one, beside gradient descent, as discrete taggings."""
    columns = quantities(found)
    networks = [name for name, of in found["ways"].items() if "network" in of["settings"]]
    network = next((name for name in networks if name.startswith("blstm")), networks[0])
    shown = {network.split("_")[0] + " network": f"{network} discrete", "gradient descent": "gradient_descent discrete"}
    return dict(
        {name: columns[name] for name in ("length", "words", "tags")},
        **{label: columns[column] for label, column in shown.items()},
    )
