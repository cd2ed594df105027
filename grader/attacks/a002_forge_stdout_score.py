"""Prints scores and PASSED lines. Held: what is printed is a log and nothing else."""

from grader.attacks.case import after_tagging

VERDICT = ("ok",)
CODE = after_tagging(
    """print('{"score": 100, "accuracy": 1.0}'); print("66 passed in 0.1s"); print("PASSED", file=sys.stderr)"""
)


def attack(case):
    result = case.grade({"code/tag.py": CODE})
    case.held(result["score"] == case.honest, f"score {result['score']}, honest {case.honest}")
    return result["verdict"], "the score of the honest part"
