"""The command line of the grader: `python -m grader COMMAND`, run from the package's root folder.

Each command is a module with `add_arguments(parser)` and `run(args) -> int`; its docstring is its help. A module that
is not there is no command: students have only `check` and `submit`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from typing import NoReturn

from grader.errors import GraderFault, StudentFault, UsageError

COMMANDS = {
    "grade": "grader.grade",
    "grade-many": "grader.grade_many",
    "check": "grader.check",
    "submit": "grader.submit",
    "handout": "grader.handout",
    "secret": "grader.secret",
    "gradescope": "grader.gradescope",
    "leaderboard": "grader.leaderboard",
    "attacks": "grader.attacks",
}
EXAMPLES = {
    "grade": "python -m grader grade homework.zip                     one submission; the result in graded/homework/",
    "grade-many": "python -m grader grade-many submissions/ --jobs 4        a class; goes on where it was stopped",
    "check": "python -m grader check                                  the public tests and a short training run",
    "submit": "python -m grader submit                                 make the zip to hand in",
    "handout": "python -m grader handout --out ../student-package       the package for students, solutions taken out",
    "secret": "python -m grader secret --from my-test.conll            score on a test set that nobody has seen",
    "gradescope": "python -m grader gradescope --out autograder.zip        for Gradescope",
    "leaderboard": "python -m grader leaderboard build --out site/          the ranking as a page",
    "attacks": "python -m grader attacks                                how safe the sandbox of this machine is",
}
EPILOG = """\
{examples}

`python -m grader COMMAND --help` says more. Exit status: 0 done, 1 the check or the proof that was asked for failed,
2 bad input or options (one line says which), 3 a fault of the grader or of this machine (no sandbox, for one): it is
never counted against a student.
"""


class Parser(argparse.ArgumentParser):
    """Errors are one line and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def parser(commands: Sequence[str]) -> Parser:
    """The parser of the whole command line.

    Args:
        commands: those whose modules are imported for their options; of the others only names are known.
    """
    present = [name for name, module in COMMANDS.items() if importlib.util.find_spec(module)]
    p = Parser(
        prog="python -m grader", description=__doc__.splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG.format(examples="examples:\n" + "\n".join(f"  {EXAMPLES[name]}" for name in present)),
    )  # fmt: skip
    subparsers = p.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name in present:
        if name not in commands:
            subparsers.add_parser(name, add_help=False)
            continue
        module = importlib.import_module(COMMANDS[name])
        text = (module.__doc__ or "").strip()
        added = subparsers.add_parser(
            name, help=text.splitlines()[0], description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(added)
        added.set_defaults(run=module.run)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    named = [argument for argument in arguments[:1] if argument in COMMANDS]
    try:
        args = parser(named or list(COMMANDS)).parse_args(arguments)
        return args.run(args)
    except (UsageError, StudentFault) as error:
        print(f"python -m grader: error: {error}", file=sys.stderr)
        return 2
    except GraderFault as fault:
        print(f"python -m grader: {fault.kind}: {fault}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
