"""Tries seeds until one is lucky. Held: the grader gives the seeds, and shows each."""

from grader.attacks.case import when_tagging

VERDICT = ("ok",)
CODE = when_tagging("import random, time; random.seed(time.time()); print('fished')")


def attack(case):
    results = [case.grade({"code/tag.py": CODE}) for _ in range(2)]
    case.held([r["seeds"] for r in results] == [[1], [1]], str(results[0]["seeds"]))
    case.held([seed["seed"] for seed in results[0]["scores"]["toytest"]["per_seed"]] == [1], "no score for each seed")
    case.held(results[0]["score"] == results[1]["score"], "two gradings differ")
    return results[0]["verdict"], "seeds of the grader's, a score for each, twice the same"
