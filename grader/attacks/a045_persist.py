"""Leaves caches and settings behind for the next run. Held: the next run starts from a clean copy."""

from grader.attacks.case import when_tagging

VERDICT = ("ok",)
POISON = when_tagging("""
import os
own = (os.path.expanduser("~/.config"), os.path.expanduser("~/__pycache__"))
paths = [os.path.join(folder, "poison-of-45") for folder in (".", "/tmp", "/var/tmp", "/dev/shm", *own)]
print("POISONED" if any(map(os.path.exists, paths)) else "clean")
for path in paths:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
    except OSError: pass
""").replace("if '--untagged' in sys.argv:", "if True:")


def attack(case):
    for _ in range(2):
        result = case.grade({"code/tag.py": POISON})
        log = result["staff"] + result["stages"][0]["log"]
        case.held("POISONED" not in log, log[-200:])
        case.held(result["score"] == case.honest, f"score {result['score']}")
    return result["verdict"], "training, tagging and the next submission: each clean"
