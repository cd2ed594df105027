"""Prints without end, invalid bytes, terminal codes and HTML. Held: cut with a mark; the log is valid text."""

VERDICT = ("output_limit",)


def attack(case):
    odd = case.run(r"""
        import os
        os.write(1, b"<script>alert(1)</script> \xff\xfe\x1b[31mred\x00\x07 \xe2\x80\xae\n" + b"y" * 90000)
    """)
    odd.log.encode("utf-8")
    case.held(
        odd.outcome.verdict == "ok" and "left out" in odd.log and len(odd.log) < 25000, f"{len(odd.log)} characters"
    )
    case.held(not set(odd.log) & {"\x1b", "\x00", "\x07", "\u202e"}, "control characters are left")
    ran = case.run("import sys\nwhile True: sys.stdout.write('x' * 65536)")
    case.held(len(ran.log) < 25000, f"{len(ran.log)} characters")
    return ran.outcome.verdict, "cut, marked, valid"
