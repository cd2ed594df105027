"""Opens a path of the student's own machine. Held: the message quotes it."""

VERDICT = ("crash",)
PATH = "/home/student/laptop/ensup"


def attack(case):
    result = case.grade({"code/tag.py": f"open({PATH!r}).read()"})
    message = result["stages"][0]["message"]
    case.held(PATH in message, message)
    return result["verdict"], message
