"""Hopes for tags that were left in the input. Held: the input has words only."""

from grader.attacks.case import when_tagging

VERDICT = ("ok",)
CODE = when_tagging("print('INPUT', open(sys.argv[1]).read().replace(chr(10), ' '))")


def attack(case):
    result = case.grade({"code/tag.py": CODE})
    case.held("INPUT " in result["staff"], "the attack did not run")
    words = result["staff"].split("INPUT ", 1)[1].split("\n")[0]
    case.held("/" not in words, f"the input has a slash: {words[:80]}")
    case.held(result["score"] == case.honest, f"score {result['score']}")
    return result["verdict"], "words only"
