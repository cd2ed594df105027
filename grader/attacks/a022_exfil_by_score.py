"""Learns labels from the scores of chosen answers. Held: 200 blind tries against the Ladder show next to nothing."""

import numpy as np

from grader.leaderboard.ladder import Attempt, ladder
from grader.leaderboard.render import percent

VERDICT = ("ok",)
ONCE = True


def attack(case):
    draw = np.random.default_rng(0)
    gold, sizes = draw.integers(2, size=(1000,)), np.ones(1000)
    guesses = draw.integers(2, size=(200, 1000))
    right = (guesses == gold).astype(float)
    shown = ladder([Attempt(float(row.mean()), row, sizes) for row in right])
    steps = len({number for _, number in shown})
    case.held(steps <= 10, f"{steps} of 200 blind tries changed the board")
    case.held(percent(0.94321) == percent(0.94319), "the board shows more than a decimal")
    return "ok", f"{steps} of 200 tries changed what is shown; one decimal"
