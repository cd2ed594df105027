"""Writes a good output and goes on until it is killed. Held: a run that was ended counts as none, always."""

from grader.attacks.case import after_tagging

VERDICT = ("timeout",)


def attack(case):
    result = case.grade({"code/tag.py": after_tagging("import time; time.sleep(600)")}, wall=3)
    case.held(result["scores"].get("toytest") is None, "an output of a run that was ended was scored")
    return result["verdict"], "no score from a run that was ended"
