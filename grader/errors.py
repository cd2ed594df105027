"""Whose fault it was, as types: a student's becomes a verdict and a score, a grader's never becomes a score."""

VERDICTS = (
    "ok",
    "wrong_answer",
    "crash",
    "timeout",
    "memory",
    "output_limit",
    "bad_output",
    "violation",
    "missing_file",
)
FAULTS = ("sandbox_unavailable", "grader_error")


class StudentFault(Exception):
    """The submission failed: `verdict` is one of VERDICTS, `message` one line that the student may see."""

    def __init__(self, verdict: str, message: str):
        if verdict not in VERDICTS:
            raise ValueError(f"{verdict!r} is no verdict; there are {', '.join(VERDICTS)}")
        super().__init__(message)
        self.verdict = verdict
        self.message = message


class GraderFault(Exception):
    """The grader failed, whatever the submission is worth: `kind` is one of FAULTS, `message` holds the remedy."""

    def __init__(self, kind: str, message: str):
        if kind not in FAULTS:
            raise ValueError(f"{kind!r} is no kind of grader fault; there are {', '.join(FAULTS)}")
        super().__init__(message)
        self.kind = kind
        self.message = message


class UsageError(Exception):
    """The command line or a file it names is wrong: one line on stderr, exit status 2."""
