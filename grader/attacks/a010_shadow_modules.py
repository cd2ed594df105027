"""Ships files with the names of modules. Held: the grader uses its own; only the student's program is hurt."""

from grader.attacks.case import MAJORITY

VERDICT = ("crash",)
EVIL = "raise RuntimeError('not the real one')\n"
NAMES = ("json", "random", "torch", "numpy", "argparse", "grader/__init__", "grader/scoring", "collections")


def attack(case):
    result = case.grade({"code/tag.py": MAJORITY, **{f"code/{name}.py": EVIL for name in NAMES}})
    case.held(result["score"] == 0, f"score {result['score']}")
    again = case.grade({"code/tag.py": MAJORITY})
    case.held(again["score"] == case.honest, "the next submission is hurt")
    return result["verdict"], "the student's program fails, the grader and the next submission do not"
