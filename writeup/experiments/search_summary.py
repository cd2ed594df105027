"""What search.py's results come to, which search.json holds: by task the systems of the tables, curves and speed."""

from __future__ import annotations

import common  # before torch

# isort: split

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from runs import over_seeds
from search_rows import BEAM, GD_ITERATIONS, TASKS, absent, is_network

import eval as evaluation

ENERGIES = ("energy", "search_error", "relaxed_energy")


def summarize(results: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    """What the tables show, of the results of each task: of rows, curves and speed, by seed."""
    every = [
        result for parts in results.values() for part in parts.values() for seeds in part.values()
        for result in seeds.values()
    ]  # fmt: skip
    return dict(
        quick=quick,
        machines=sorted({common.describe_machine(result["machine"]) for result in every}),
        jobs=sorted({result["jobs"] for result in every}),
        missing={task: why for task in TASKS if (why := absent(task))},
        tasks={task: of_task(parts) for task, parts in results.items()},
    )


def of_task(parts: Mapping[str, Any]) -> dict[str, Any]:
    """One task."""
    rows, curves, speed = parts["rows"], parts["curves"], parts["speed"]
    systems = {row: of_row(seeds, row.startswith("energy") or is_network(row)) for row, seeds in rows.items()}
    for energy, mark in (("energy", ""), ("energy+", "+")):
        if energy in systems:
            systems[f"viterbi{mark}"] = systems.pop(energy)
        if energy in curves:
            systems.update(of_curves(curves[energy], mark))
    sizes = [result["sizes"] for seeds in rows.values() for result in seeds.values()]
    return dict(
        sizes=sizes[0] if sizes else {},
        systems=systems,
        curves={energy: mean_curves(seeds) for energy, seeds in curves.items()},
        velocity={energy: seeds[0] for energy, seeds in parts["velocity"].items() if 0 in seeds},
        speed={energy: without_history(seeds[0]) for energy, seeds in speed.items() if 0 in seeds},
        differences=differences(curves["energy"][0]) if 0 in curves.get("energy", {}) else [],
    )


def of_row(seeds: Mapping[int, Any], searches: bool) -> dict[str, Any]:
    """What was trained: F1 or accuracy, and energies, if it is an energy or searches one."""
    metrics = [result["metrics"] for result in seeds.values()]
    quality = [one["accuracy"]["all"] if one["f1"] is None else one["f1"] for one in metrics]
    return dict(
        quality=over_seeds(quality),
        **{name: over_seeds([one[name] for one in metrics])["mean"] if searches else None for name in ENERGIES},
        train_seconds=over_seeds([one["train_seconds"] for one in metrics]),
        parameters=metrics[0]["parameters"], seeds=sorted(seeds),
    )  # fmt: skip


def of_curves(seeds: Mapping[int, Any], mark: str) -> dict[str, Any]:
    """Rows of Tables 1 and 4 that are not trained."""
    found = {}
    for name, part in ((f"gradient_descent{mark}", "gradient_descent"), (f"gradient_descent oracle{mark}", "oracle")):
        points = [at(result[part], GD_ITERATIONS) for result in seeds.values()]
        found[name] = of_points(points)
    for name in next(iter(seeds.values()))["beams"]:
        found[f"{name} beam {BEAM}"] = of_points([result["beams"][name] for result in seeds.values()])
    return found


def of_points(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return dict(
        quality=over_seeds([point["quality"] for point in points]),
        **{name: over_seeds([point[name] for point in points])["mean"] for name in ENERGIES},
    )


def at(points: Iterable[Mapping[str, Any]], iterations: int) -> Mapping[str, Any] | None:
    return next((point for point in points if point["iterations"] == iterations), None)


def mean_curves(seeds: Mapping[int, Any]) -> dict[str, Any]:
    """Curves with each number the mean over seeds; steps are those of the first seed."""
    first, *others = seeds.values()
    found = {name: first[name] for name in ("sentences", "tuned_on", "network")}
    found["gold"] = over_seeds([one["gold"] for one in seeds.values()])["mean"]
    found["seeds"] = sorted(seeds)
    for way in ("viterbi", "networks", "gradient_descent", "oracle", "tailored", "warm_start"):
        if isinstance(first[way], list):
            found[way] = [mean_point([one[way][i] for one in (first, *others)]) for i in range(len(first[way]))]
        elif way == "networks":
            found[way] = {name: mean_point([one[way][name] for one in (first, *others)]) for name in first[way]}
        else:
            found[way] = mean_point([one[way] for one in (first, *others)])
    return found


def mean_point(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def mean(name: str) -> Any:
        values = [point[name] for point in points]
        return values[0] if name in ("step", "iterations") or values[0] is None else over_seeds(values)["mean"]

    return {name: mean(name) for name in points[0] if name != "correct"}


def without_history(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("sentences", "procedures", "absent", "descents", "at_once", "network")}


def differences(curves: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Token accuracy of each network minus that of gradient descent, where accuracy is what counts; seed 0."""
    if curves["spans"]:
        return []
    other, tokens = at(curves["gradient_descent"], GD_ITERATIONS)["correct"], np.array(curves["tokens"])
    return [
        dict(a=name, **asdict(evaluation.paired_bootstrap(np.array(point["correct"]), np.array(other), tokens)))
        for name, point in curves["networks"].items()
    ]
