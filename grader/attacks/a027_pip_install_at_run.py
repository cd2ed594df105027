"""Installs packages at run time. Held: fails in seconds, with a hint."""

from grader.attacks.case import MAJORITY

VERDICT = ("crash",)
CODE = "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', 'nltk-extra'], check=True)\n"


def attack(case):
    result = case.grade({"code/tag.py": CODE + MAJORITY.replace("from __future__ import annotations", "")})
    stage = result["stages"][0]
    case.held(stage["seconds"] < 25, f"it took {stage['seconds']} seconds")
    return result["verdict"], stage["message"]
