"""Prints a line for each token. Held: the log is cut, the run goes on, its time is stated."""

from grader.attacks.case import when_tagging

VERDICT = ("ok",)


def attack(case):
    result = case.grade({"code/tag.py": when_tagging("for i in range(20000): print('token', i)")})
    case.held(result["score"] == case.honest, f"score {result['score']}")
    case.held(len(result["staff"]) < 100_000 and "left out" in result["staff"], f"{len(result['staff'])} characters")
    case.held(result["stages"][1]["seconds"] > 0, "no time")
    return result["verdict"], f"cut; {result['stages'][1]['seconds']} seconds"
