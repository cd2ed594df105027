"""Cases of the unit tests: inputs, right answers, and what makes an answer wrong.

A case that an answer of zeros would pass is no test: making one raises an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grader.enumerate import Array
from grader.errors import GraderFault

TOLERANCE = 1e-5  # of max(1, |right|); the cases are in float64
CLEARANCE = 1000  # how many tolerances zeros must be off by
ANYTHING = math.nan  # a cell of padding
Draw = np.random.Generator


@dataclass(frozen=True)
class Case:
    """What a function gets, and what it must give by name: arrays (nan: any number will do), or lists of strings."""

    inputs: Mapping[str, Any]
    right: Mapping[str, Any]

    def __post_init__(self):
        for name, right in self.right.items():
            if isinstance(right, list):
                zeros: Any = [[] for _ in right]
            else:
                zeros = np.zeros_like(right).tolist()
                finite = np.abs(right[np.isfinite(right)])
                clear = np.isinf(right).any() or (finite > CLEARANCE * TOLERANCE * np.maximum(1.0, finite)).any()
                if not clear:
                    raise GraderFault("grader_error", f"a test of {name} whose right answer is nearly 0")
            if wrong(right, zeros) is None:
                raise GraderFault("grader_error", f"a test of {name} that zeros would pass")


def wrong(right: Any, given: Any) -> str | None:
    """What is wrong with an answer, or None."""
    if isinstance(right, list):
        return None if given == right else "other strings than wanted"
    try:
        answer = numbers(given, right.shape)
    except ValueError as error:
        return str(error)
    matters = ~np.isnan(right)
    right, answer = right[matters], answer[matters]
    if np.isnan(answer).any():
        return "nan"
    infinite = np.isinf(right) | np.isinf(answer)
    if (right[infinite] != answer[infinite]).any():
        return "infinite where it should not be, or the other way round"
    off = np.abs(right[~infinite] - answer[~infinite])
    bad = off > TOLERANCE * np.maximum(1.0, np.abs(right[~infinite]))
    return f"{int(bad.sum())} of {right.size} numbers are wrong" if bad.any() else None


def numbers(given: Any, shape: tuple[int, ...]) -> Array:
    """Nested lists of numbers, or "inf", "-inf", "nan", as an array. Raises ValueError if the shape is another."""
    names = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}

    def flat(value: Any, wanted: tuple[int, ...]) -> list[float]:
        if not wanted:
            if isinstance(value, str) and value in names:
                return [names[value]]
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return [float(value)]
            raise ValueError(f"another shape than {list(shape)}")
        if not isinstance(value, list) or len(value) != wanted[0]:
            raise ValueError(f"another shape than {list(shape)}")
        return [number for item in value for number in flat(item, wanted[1:])]

    return np.array(flat(given, shape), dtype=np.float64).reshape(shape)


def plain(value: Any) -> Any:
    """Inputs as JSON has them: arrays as nested lists, infinite numbers by name."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def padded(rows: Sequence[Array], n: int, value: float = ANYTHING) -> Array:
    """Arrays [length, ...] as one [B, n, ...]."""
    found = np.full((len(rows), n, *np.shape(rows[0])[1:]), value)
    for b, row in enumerate(rows):
        found[b, : len(row)] = row
    return found
