"""Reads other processes' environment, memory and open files, those of another slot too. Held: nothing of theirs."""

import secrets
import threading

VERDICT = ("ok",)
CODE = """
import os
found = []
try: names = os.listdir("/proc")
except OSError: names = []
for name in names:
    if name.isdigit() and int(name) != os.getpid():
        for file in ("environ", "maps", "mem", "cmdline"):
            try: found.append(open(f"/proc/{name}/{file}", "rb").read(100000).decode("latin-1"))
            except OSError: pass
        try: found += [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
        except OSError: pass
open("found", "w").write("read " + " ".join(found))
"""


def attack(case):
    token = secrets.token_hex(16)
    other = threading.Thread(
        target=case.run, args=("import time; time.sleep(1)",), kwargs={"environment": {"PEER": token}}
    )
    other.start()
    ran = case.run("import time; time.sleep(0.5)\n" + CODE)
    other.join()
    found = ran.files.get("found", b"")
    case.held(found.startswith(b"read"), "the attack did not run: " + ran.log[-200:])
    case.held(token.encode() not in found, "another slot's environment was read")
    return ran.outcome.verdict, "no other process's environment, memory or files"
