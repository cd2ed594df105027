"""Forks, or starts threads, without end. Held: a limit; the other slot goes on."""

import threading

VERDICT = ("crash", "timeout")


def attack(case):
    beside = []
    other = threading.Thread(target=lambda: beside.append(case.run("import time; time.sleep(1); print('fine')")))
    other.start()
    forks = case.run(
        """
        import os, time
        while True:
            try: os.fork()
            except OSError: time.sleep(0.05)
    """,
        wall=1.5,
    )
    threads = case.run(
        """
        import threading, time
        while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    """,
        wall=5,
    )
    other.join()
    case.held(beside[0].log == "fine\n", f"the other slot: {beside[0].outcome}")
    case.held(threads.outcome.verdict in VERDICT, f"threads: {threads.outcome.verdict}")
    return forks.outcome.verdict, f"threads: {threads.outcome.verdict}; the other slot went on"
