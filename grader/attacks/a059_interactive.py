"""Waits for the keyboard, a debugger, or a window. Held: fails at once, with a hint."""

VERDICT = ("crash",)


def attack(case):
    for code in ("import pdb; pdb.set_trace(); print(1)", "name = input('file? ')"):
        result = case.grade({"code/tag.py": code})
        stage = result["stages"][0]
        case.held("keyboard" in stage["message"] and stage["seconds"] < 10, f"{stage['message']}, {stage['seconds']} s")
    return result["verdict"], stage["message"]
