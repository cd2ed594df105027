"""A process that outlives the program rewrites the output afterwards. Held: the output is read when all are dead."""

from grader.attacks.case import MAJORITY

VERDICT = ("ok",)
CODE = (
    MAJORITY
    + """
    import os, sys, time
    if "--untagged" in sys.argv:
        parent = os.getpid()
        if not os.fork():
            os.setsid()
            if os.fork():
                os._exit(0)
            while os.path.exists(f"/proc/{parent}") and os.getppid() == parent:
                time.sleep(0.01)
            time.sleep(0.3)
            for _ in range(100):
                open(sys.argv[-1], "w").write("forged/D\\n" * 200)
                time.sleep(0.01)
"""
)


def attack(case):
    result = case.grade({"code/tag.py": CODE})
    case.held(result["score"] == case.honest, f"score {result['score']}, honest {case.honest}")
    return result["verdict"], "the output of the program itself"
