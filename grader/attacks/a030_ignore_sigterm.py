"""Catches every signal it can. Held: the whole tree is killed."""

import secrets

from grader.sandbox.probes import alive

VERDICT = ("timeout",)


def attack(case):
    token = secrets.token_hex(8)
    ran = case.run(
        f"""
        import os, signal, subprocess, sys, time
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN if number % 2 else lambda *a: None)
            except (OSError, ValueError): pass
        if len(sys.argv) == 1: subprocess.Popen([sys.executable, "attack.py", "{token}"])
        while True: time.sleep(1)
    """,
        wall=1,
    )
    case.held(not alive(token), "a process lives on")
    return ran.outcome.verdict, "killed, children too"
