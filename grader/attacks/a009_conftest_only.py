"""Ships only what a test runner or Python picks up by itself. Held: nothing of it is picked up."""

VERDICT = ("missing_file",)
EVIL = "import os\nopen('picked-up', 'w').close()\nos._exit(0)\n"
FILES = (
    "conftest.py",
    "sitecustomize.py",
    "usercustomize.py",
    "pytest.ini",
    "pyproject.toml",
    "x.pth",
    "tests/conftest.py",
)


def attack(case):
    result = case.grade({f"code/{name}": EVIL for name in FILES})
    case.held(result["score"] == 0, f"score {result['score']}")
    case.held("tag.py" in str(result["stages"][0]["message"]), "the message does not name the file that is wanted")
    return result["verdict"], "a submission without tag.py, score 0"
