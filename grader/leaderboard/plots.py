"""The geometry of the drawings; the templates write the SVG, so that every text in it is escaped as all others are.

Lengths are in the units of the drawing's view box. Accuracies are fractions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grader.leaderboard.board import Board, Point
from grader.leaderboard.intervals import Interval

SHADES = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)  # shares of a gold tag above which a cell gets the next shade
MOST_TAGS = 16


@dataclass(frozen=True)
class Scale:
    """A linear map from low..high to start..end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 2)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from low to high, at most `most` + 1 of them."""
    rough = max(high - low, 1e-4) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    return [
        round(number * step, 6) for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


def bounds(values: Sequence[float], least: float) -> tuple[float, float]:
    """A range that holds the values with some room, at least `least` wide, inside 0..1."""
    low, high = min(values), max(values)
    room = max((high - low) * 0.08, (least - (high - low)) / 2, 0)
    return max(0.0, low - room), min(1.0, high + room)


# The board's column of intervals: one small drawing a line, all on one scale


WHISKER_WIDTH = 160


def whiskers(board: Board) -> Scale | None:
    """The scale of the intervals. It reaches down to a student's or the reference's, not to a far-off baseline's, whose
    drawing then is empty."""
    near = [line for line in board.lines if line.place.rank or line.submission.handle == "reference"] or board.lines
    ends = [end for line in near for end in line.interval]
    return Scale(*bounds(ends, 0.01), 4, WHISKER_WIDTH - 4) if ends else None


# History of one handle


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    point: Point


@dataclass(frozen=True)
class Mark:
    at: float
    label: str


@dataclass(frozen=True)
class History:
    """Dots, the steps of the best so far (SVG path data), lines of baselines, ticks; 380 by 220, the plot itself from
    `left` to `right` and `top` to `bottom`."""

    dots: list[Dot]
    steps: str
    baselines: list[Mark]
    levels: list[Mark]
    times: list[Mark]
    left: float = 40
    right: float = 368
    top: float = 12
    bottom: float = 192


def history_plot(points: Sequence[Point], baselines: Mapping[str, float]) -> History | None:
    """The scores over the time of submission; None without any. A baseline too far below to be compared is left out."""
    shown = [point for point in points if point.score is not None]
    if not shown:
        return None
    scores = [point.score for point in shown]
    low, high = bounds([*scores, *(value for value in baselines.values() if value > min(scores) - 0.05)], 0.02)
    empty = History([], "", [], [], [])
    y = Scale(low, high, empty.bottom, empty.top)
    first, last = (f(point.submission.submitted.timestamp() for point in shown) for f in (min, max))
    x = Scale(first, last, empty.left + 10, empty.right - 10)
    dots = [Dot(x(point.submission.submitted.timestamp()), y(point.score), point) for point in shown]
    ends = [shown[0].submission.submitted, shown[-1].submission.submitted]
    dates = [f"{time:%b} {time.day}" for time in ends]
    times = (
        [Mark(dots[0].x, dates[0]), Mark(dots[-1].x, dates[1])] if dates[0] != dates[1] else [Mark(dots[0].x, dates[0])]
    )
    marks = spread([Mark(y(value), name) for name, value in baselines.items() if low <= value <= high])
    return History(
        dots, best_so_far(dots, empty.right), marks,
        [Mark(y(level), f"{100 * level:.4g}") for level in ticks(low, high)], times,
    )  # fmt: skip


def best_so_far(dots: Sequence[Dot], right: float) -> str:
    """The path of the highest counted score so far, as steps."""
    path, best = "", math.inf  # y grows downwards
    for dot in dots:
        if dot.point.status in ("counted", "baseline") and dot.y < best:
            path += f"M{dot.x} {dot.y}" if not path else f"H{dot.x}V{dot.y}"
            best = dot.y
    return f"{path}H{right}" if path else ""


def spread(marks: Sequence[Mark], least: float = 12) -> list[Mark]:
    """The marks that can be labelled: the upper one of two that are closer than a line of text."""
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: mark.at):
        if not kept or mark.at - kept[-1].at >= least:
            kept.append(mark)
    return kept


# Confusion


@dataclass(frozen=True)
class Cell:
    count: int
    shade: int  # 0 for none, to len(SHADES)
    right: bool


@dataclass(frozen=True)
class HeatMap:
    """Gold tags down, predicted ones across: the tags that most errors have to do with. `top` are the commonest errors
    (gold, predicted, count, share of the gold tag's tokens)."""

    tags: list[str]
    rows: list[list[Cell]]
    top: list[tuple[str, str, int, float]]
    errors: int
    errors_shown: int


def heat_map(confusion: Mapping[str, Mapping[str, int]]) -> HeatMap | None:
    """None where there is nothing to draw."""
    errors = [
        (gold, predicted, count, count / sum(row.values()))
        for gold, row in confusion.items()
        for predicted, count in row.items()
        if gold != predicted
    ]
    if not confusion:
        return None
    weight: dict[str, int] = {}
    for gold, predicted, count, _ in errors:
        weight[gold] = weight.get(gold, 0) + count
        weight[predicted] = weight.get(predicted, 0) + count
    tags = sorted(sorted(weight or confusion, key=lambda tag: (-weight.get(tag, 0), tag))[:MOST_TAGS])
    rows = [[cell(confusion.get(gold, {}), gold, predicted) for predicted in tags] for gold in tags]
    shown = sum(c.count for row in rows for c in row if not c.right)
    errors.sort(key=lambda error: (-error[2], error[0], error[1]))
    return HeatMap(tags, rows, errors[:10], sum(error[2] for error in errors), shown)


def cell(row: Mapping[str, int], gold: str, predicted: str) -> Cell:
    count = row.get(predicted, 0)
    share = count / sum(row.values()) if count else 0.0
    return Cell(count, sum(share > bar for bar in SHADES), gold == predicted)


def whisker(scale: Scale, interval: Interval, value: float) -> dict[str, float] | None:
    """Where an interval and its value lie; None where they are outside the scale."""
    if not scale.low <= value <= scale.high:
        return None
    return {
        "low": scale(max(interval.low, scale.low)),
        "high": scale(min(interval.high, scale.high)),
        "value": scale(value),
    }
