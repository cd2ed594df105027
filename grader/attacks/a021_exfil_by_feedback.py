"""Puts words of the hidden input into exceptions and prints. Held: a hidden stage says fixed things."""

import json

from grader.attacks.case import when_tagging

VERDICT = ("crash",)
CODE = when_tagging("""
words = open(sys.argv[1]).read().split()
print("LEAKED", words[:50])
class LEAKED_in_a_name(Exception): pass
raise LEAKED_in_a_name(" ".join(words))
""")


def attack(case):
    result = case.grade({"code/tag.py": CODE})
    case.held("LEAKED" in result["staff"], "the attack did not run")
    stage = next(stage for stage in result["stages"] if stage["hidden"])
    shown = json.dumps([stage["message"], stage["log"], result["notes"], result["flags"]])
    case.held("LEAKED" not in shown and "both1" not in shown, shown)
    return result["verdict"], "fixed message, no log"
