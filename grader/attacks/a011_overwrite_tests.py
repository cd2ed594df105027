"""Ships and writes files at the places of tests, data and scorer. Held: they are the grader's, byte for byte."""

from grader.attacks.case import HERE, MAJORITY, when_tagging
from grader.results import files_digest

VERDICT = ("ok",)
CODE = when_tagging(f"""
own = ("{HERE.parent}/scoring.py", "{HERE.parent}/data/entest")
for place in ("../data/toysup", "../lexicons/x", "../../tests/test_x.py", *own):
    try: open(place, "w").write("x/D\\n")
    except OSError: pass
""")


def attack(case):
    own = [HERE.parent / "scoring.py", HERE.parent / "expected.py", case.gold, case.assignment.data_file("toysup")]
    before = files_digest(own)
    files = {f"{name}": MAJORITY for name in ("grader/scoring.py", "code/grader/scoring.py", "tests/test_chain.py")}
    result = case.grade({"code/tag.py": CODE, "data/toytest": "x/D\n", "code/toytest": "x/D\n", **files})
    case.held(files_digest(own) == before, "a file of the grader's was changed")
    case.held(result["score"] == case.honest, f"score {result['score']}, honest {case.honest}")
    return result["verdict"], "the grader's files are as before, the score is the honest one"
