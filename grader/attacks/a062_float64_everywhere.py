"""log(0), and a loss that is nan. Held: a wrong answer, and the message says which number is nan."""

import numpy as np

from grader.cases import wrong

VERDICT = ("wrong_answer",)
ONCE = True


def attack(case):
    right = np.array([0.5, -1.0])
    case.held("nan" in (wrong(right, [0.5, "nan"]) or ""), "nan passes or is not named")
    case.held(wrong(right, ["-inf", -1.0]) is not None, "an infinite answer passes")
    case.held(wrong(right, [0.0, 0.0]) is not None, "zeros pass")
    case.held(wrong(right, [0.5, -1.0]) is None, "the right answer fails")
    return "wrong_answer", "case and quantity are named with it"
