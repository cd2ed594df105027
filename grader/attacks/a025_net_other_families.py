"""Sockets of other families: abstract Unix, netlink, vsock, the kernel's cryptography, raw packets. Held: all fail."""

import secrets
import socket

VERDICT = ("ok",)


def attack(case):
    name = "\0" + secrets.token_hex(8)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        ran = case.run(f"""
            import socket
            for family in (16, 40, 38, 17, 31, 29, 44):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
                    try: socket.socket(family, kind); print("OPEN", family)
                    except OSError: pass
            try: socket.socket(socket.AF_UNIX).connect({name!r}); print("OPEN abstract")
            except OSError: print("closed")
        """)
    case.held("OPEN" not in ran.log and "closed" in ran.log, ran.log)
    return ran.outcome.verdict, "none can be made, the abstract socket is not reached"
