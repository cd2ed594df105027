"""Reads other submissions of the batch. Held: not there, or closed."""

import tempfile
from pathlib import Path

VERDICT = ("ok",)


def attack(case):
    with tempfile.TemporaryDirectory(prefix="neuralization-batch-") as folder:
        peer = Path(folder, "alice", "tag.py")
        peer.parent.mkdir()
        peer.write_text("PEER = 1")
        case.sandbox.hide(Path(folder))
        ran = case.run(f"""
            import glob, os
            others = glob.glob("/tmp/neuralization-*/*/tag.py") + glob.glob("/tmp/neuralization-*/private/*/*")
            for path in ({str(peer)!r}, *others):
                try: print("READ", open(path).read(20))
                except OSError: print("closed")
            try: print("READ", os.listdir({folder!r}))
            except OSError: print("closed")
        """)
    case.held("READ" not in ran.log and ran.log.count("closed") >= 2, ran.log)
    return ran.outcome.verdict, "closed"
