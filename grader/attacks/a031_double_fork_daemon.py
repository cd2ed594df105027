"""Leaves its session and its parent. Held: nothing lives on after the run."""

import secrets

from grader.sandbox.probes import alive

VERDICT = ("ok",)


def attack(case):
    token = secrets.token_hex(8)
    ran = case.run(f"""
        import os, subprocess, sys, time
        if len(sys.argv) == 1:
            subprocess.run([sys.executable, "attack.py", "{token}"])
            while not os.path.exists("alive"): time.sleep(0.01)
        else:
            if os.fork(): os._exit(0)
            os.setsid()
            if os.fork(): os._exit(0)
            os.closerange(0, 9)
            open("alive", "w").close()
            time.sleep(300)
    """)
    case.held("alive" in ran.files, "the attack did not run: " + ran.log[-200:])
    case.held(not alive(token), "a process lives on")
    return ran.outcome.verdict, "no process left"
