"""Patches the clock. Held: time is measured outside."""

from grader.attacks.case import when_tagging

VERDICT = ("ok",)
CODE = when_tagging("""
import time
time.sleep(0.7)
time.time = time.monotonic = time.perf_counter = time.process_time = lambda: 0.0
print("took", time.time())
""")


def attack(case):
    result = case.grade({"code/tag.py": CODE})
    seconds = result["stages"][1]["seconds"]
    case.held(seconds > 0.7, f"{seconds} seconds")
    return result["verdict"], f"{seconds:.1f} seconds by the grader's clock"
