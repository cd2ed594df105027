"""Writes to every descriptor it can find. Held: there are only 0, 1 and 2."""

VERDICT = ("ok",)
CODE = """
import os
for fd in range(3, 1024):
    try: os.write(fd, b"{}")
    except OSError as problem:
        if problem.errno == 9: continue
    print("open", fd)
print("hunted")
"""


def attack(case):
    ran = case.run(CODE)
    case.held(ran.log == "hunted\n", ran.log)
    return ran.outcome.verdict, "0, 1 and 2, no other"
