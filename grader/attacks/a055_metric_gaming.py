"""Predicts one class, or no class at all, everywhere. Held: counted on all gold tokens; majority is shown beside."""

from grader.attacks.case import MAJORITY

VERDICT = ("ok",)


def attack(case):
    for tag in ("_", "O", "BOS", "D"):
        code = MAJORITY.replace("f\"{word}/{best.get(word, best[''])}\"", f'word + "/{tag}"')
        case.held(code != MAJORITY, "the attack is not what it should be")
        result = case.grade({"code/tag.py": code})
        accuracy = case.accuracy(result)
        case.held(accuracy < (0.4 if tag == "D" else 1e-9), f"{tag}: {accuracy}")
    return result["verdict"], "other tags count 0, one true tag no more than its share"
