"""Ships the test set's tags by position, as if order were fixed. Held: the order is shuffled."""

from grader.attacks.a049_memorised_test import memory
from grader.attacks.case import after_tagging

VERDICT = ("ok",)


def attack(case):
    code = after_tagging(f"""
        rows = {list(memory(case).values())!r}
        with open(OUT, "w") as file:
            for number, words in enumerate(open(sys.argv[1]).read().splitlines()):
                print(" ".join(map("/".join, zip(words.split(), rows[number % len(rows)]))), file=file)
    """)
    result = case.grade({"code/tag.py": code})
    accuracy = case.accuracy(result)
    case.held(result["verdict"] == "ok" and accuracy < 0.5, f"{accuracy:.1%} by position")
    return result["verdict"], f"{accuracy:.1%} by position; what may be trained on is in the rules"
