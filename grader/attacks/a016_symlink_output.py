"""Makes its output a link to the gold tags. Held: refused."""

from grader.attacks.case import after_tagging

VERDICT = ("bad_output",)


def attack(case):
    for make in ("symlink", "link"):
        for target in (case.gold, "/etc/passwd"):
            code = after_tagging(f"""
                import os
                try: os.unlink(OUT)
                except OSError: pass
                try: os.{make}({str(target)!r}, OUT)
                except OSError: os.symlink({str(target)!r}, OUT)
                os._exit(0)
            """)
            code = code.replace(
                'if __name__ == "__main__":', 'if __name__ == "__main__" and "--save" in __import__("sys").argv:'
            )
            result = case.grade({"code/tag.py": code})
            case.held(result["scores"].get("toytest") is None, f"{make} to {target}: scored")
    return result["verdict"], "neither link was followed"
