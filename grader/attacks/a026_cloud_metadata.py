"""The cloud's metadata address, and a port of the grader's machine. Held: no route."""

import socket

VERDICT = ("ok",)


def attack(case):
    with socket.socket() as listener:  # stands for the scheduler of a cluster
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ran = case.run(f"""
            import socket
            for address in (("169.254.169.254", 80), ("127.0.0.1", {listener.getsockname()[1]})):
                try: socket.create_connection(address, 3); print("OPEN", address)
                except OSError as problem: print("closed", problem)
        """)
    case.held("OPEN" not in ran.log and ran.log.count("closed") == 2, ran.log)
    return ran.outcome.verdict, "neither is reached"
