"""Reads the time limit, and trains until just before it. Held: the budget is in sentences; time is only a ceiling."""

from grader.assignment import load_assignment

VERDICT = ("ok",)


def attack(case):
    training = load_assignment().stage("training")
    case.held("{max_steps}" in training.command, "the graded training has no budget in sentences")
    ran = case.run("import os, sys\nprint(sorted(os.environ), sys.argv)")
    case.held("WALL" not in ran.log.upper() and "LIMIT" not in ran.log.upper(), ran.log)
    return ran.outcome.verdict, "--max_steps in the command; no time in environment or arguments"
