"""Fills the disk, /tmp and /dev/shm: huge, sparse and many files, deep folders. Held: a quota."""

import shutil

VERDICT = ("output_limit",)
FILL = """
import os, time
for folder in (".", "/tmp", "/dev/shm"):
    try:
        for number in range(40):
            with open(f"{folder}/fill{number}", "wb") as file: file.write(b"x" * (1 << 20))
    except OSError: pass
time.sleep(20)
"""


def attack(case):
    free = shutil.disk_usage("/").free
    for name, code in {
        "sparse": "f = open('x', 'wb'); f.truncate(1 << 40); f.seek(1 << 39); f.write(b'x')",
        "deep": "import os, time\nfor i in range(2000): os.mkdir('d'); os.chdir('d')\ntime.sleep(20)",
        "many": "import time\nfor i in range(30000): open(f'f{i}', 'w').close()\ntime.sleep(20)",
    }.items():
        verdict = case.run(code).outcome.verdict
        case.held(verdict in ("output_limit", "crash"), f"{name}: {verdict}")
    ran = case.run(FILL)
    case.held(shutil.disk_usage("/").free > free - (256 << 20), "the disk is fuller than before")
    return ran.outcome.verdict, "a file, many files, deep folders, a sparse file; all cleaned up"
