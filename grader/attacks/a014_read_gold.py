"""Opens the gold tags by their path, and looks through the disk for them. Held: not there, or closed."""

VERDICT = ("ok",)


def attack(case):
    folder = case.gold.parent
    case.sandbox.hide(folder)
    code = f"""
        import os
        for act in (lambda: open({str(case.gold)!r}).read(), lambda: os.listdir({str(folder)!r})):
            try: print("GOLD", act())
            except OSError as problem: print("closed", problem.errno)
        seen = 0
        for root, folders, files in os.walk("/"):
            if root.startswith(("/proc", "/sys")): folders[:] = []
            seen += len(files)
            for name in files:
                if name in ("toytest", "entest"):
                    try: print("GOLD", open(os.path.join(root, name)).read(80))
                    except OSError: pass
            if seen > 60000: break
    """
    ran = case.run(code)
    case.held("GOLD" not in ran.log, ran.log[:200])
    return ran.outcome.verdict, "the gold tags do not open"
