"""A table of a TOML file, read field by field: each is checked, and one that nobody asked for is a misspelling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from grader.errors import UsageError


class Table:
    """A table of the file, read field by field; what is left over at the end is a misspelling."""

    def __init__(self, values: Any, where: str):
        if not isinstance(values, dict):
            raise UsageError(f"{where}: must be a table")
        self.values, self.where, self.read = values, where, set()

    def error(self, name: str, why: str) -> UsageError:
        return UsageError(f"{self.where}: {name}: {why}")

    def get(self, name: str, check: Callable[[Any], str | None], default: Any = None) -> Any:
        """A field; `check` says what is wrong with a value, or None. Without a default it must be there."""
        self.read.add(name)
        if name not in self.values:
            if default is None:
                raise self.error(name, "is missing")
            return default
        value = self.values[name]
        problem = check(value)
        if problem:
            raise self.error(name, problem)
        return tuple(value) if isinstance(value, list) else value

    def table(self, name: str) -> Table:
        self.read.add(name)
        return Table(self.values.get(name), f"{self.where}: {name}")

    def tables(self, name: str) -> list[Table]:
        self.read.add(name)
        found = self.values.get(name, [])
        if not isinstance(found, list) or not found:
            raise self.error(name, f"there must be at least one [[{name}]]")
        return [Table(item, f"{self.where}: {name} {number}") for number, item in enumerate(found, start=1)]

    def done(self) -> None:
        left = sorted(set(self.values) - self.read)
        if left:
            raise self.error(left[0], "there is no such field")


def text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() and value.isprintable() else "must be a text of one line"


def bare_name(value: Any) -> str | None:
    good = isinstance(value, str) and value.isprintable() and value == value.strip(". ") and value
    return None if good and not set(value) & set("/\\\0:") else "must be a bare file name"


def names(value: Any) -> str | None:
    good = isinstance(value, list) and all(bare_name(item) is None for item in value)
    return None if good else "must be a list of bare file names"


def texts(value: Any) -> str | None:
    good = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
    return None if good else "must be a list of texts"


def flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def number(low: float, high: float = math.inf, whole: bool = False) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        kind = (int,) if whole else (int, float)
        good = isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high and value < math.inf
        return None if good else f"must be a {'whole ' if whole else ''}number from {low:g} to {high:g}"

    return check
