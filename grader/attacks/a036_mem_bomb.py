"""Takes memory in one process, and spread over many. Held: `memory`, told from `crash`."""

VERDICT = ("memory",)


def attack(case):
    split = case.run("""
        import os, time
        for _ in range(8):
            if not os.fork():
                x = bytearray(b"1") * (60 << 20)
                time.sleep(20)
        time.sleep(20)
    """)
    case.held(split.outcome.verdict == "memory", f"spread over processes: {split.outcome.verdict}")
    ran = case.run("x = []\nwhile True: x.append(bytearray(b'1') * (1 << 20))")
    return ran.outcome.verdict, "in one process and in eight"
