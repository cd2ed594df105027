"""The submission writes the grader's result files itself and exits 0. Held: only the grader's own file counts."""

VERDICT = ("missing_file",)
CODE = """
import json
for place in ("results.json", "result.json", "../results.json", "../result.json", "/autograder/results/results.json"):
    try:
        with open(place, "w") as file:
            json.dump({"score": 100, "verdict": "ok", "tests": [{"score": 100, "max_score": 100}]}, file)
    except OSError:
        pass
"""


def attack(case):
    result = case.grade({"code/tag.py": CODE})
    case.held(result["score"] == 0, f"score {result['score']}")
    return result["verdict"], "no file of the grader's was written to, score 0"
