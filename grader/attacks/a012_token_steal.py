"""Looks for a secret of the grader's in environment, arguments, descriptors and its own memory. Held: there is none."""

import os
import secrets

VERDICT = ("ok",)
CODE = """
import gc, os, sys
found = [repr(os.environ), repr(sys.argv), repr([o for o in gc.get_objects() if isinstance(o, (str, bytes))])]
for fd in range(3, 256):
    try: found.append(repr(os.read(fd, 1 << 16)))
    except OSError: pass
try:
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            if "[heap]" in line or "[stack]" in line:
                start, end = (int(x, 16) for x in line.split()[0].split("-"))
                memory.seek(start)
                found.append(memory.read(min(end - start, 1 << 19)).decode("latin-1"))
except OSError: pass
open("found", "w", encoding="utf-8", errors="replace").write("\\n".join(found)[:1000000])
"""


def attack(case):
    token = secrets.token_hex(16)
    os.environ["NEURALIZATION_ATTACK"] = token
    try:
        ran = case.run(CODE, environment={"VISIBLE": "yes"})
    finally:
        del os.environ["NEURALIZATION_ATTACK"]
    found = ran.files.get("found", b"")
    case.held(b"VISIBLE" in found, "the attack did not run: " + ran.log[-200:])
    case.held(token.encode() not in found, "the grader's secret was found")
    return ran.outcome.verdict, "nothing of the grader's is in the process"
