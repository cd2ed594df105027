"""Takes as many threads as it can get. Held: thread variables are set, the number of threads is limited."""

VERDICT = ("ok",)


def attack(case):
    ran = case.run(
        """
        import os, threading, time
        print("SET", {os.environ.get(n) for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")})
        started = 0
        try:
            for _ in range(200):
                threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
                started += 1
        except RuntimeError: pass
        print("STARTED", started)
    """,
        wall=20,
    )
    started = int(ran.log.partition("STARTED ")[2] or -1)
    case.held("SET {'1'}" in ran.log, ran.log)
    case.held(started < 60, f"{started} threads")
    return (
        "ok" if ran.outcome.verdict == "crash" else ran.outcome.verdict
    ), f"one thread by default, {max(started, 0)} at most"
