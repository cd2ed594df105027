"""What is run in a sandbox and what comes out: plain values, the same at every level."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What a job may use.

    Args:
        wall: seconds by the clock, measured outside.
        cpu: seconds of computing, summed over the job's processes.
        memory: bytes, summed over them; what they share counts once.
        processes: processes and threads together, as the kernel counts them.
        output: bytes of log that are kept. A job that prints FLOOD times as much is stopped.
        disk: bytes that it may have in files at one time; also the size of its /tmp, and of its /dev/shm.
    """

    wall: float
    cpu: float
    memory: int
    processes: int
    output: int
    disk: int

    def __post_init__(self):
        for name in ("wall", "cpu", "memory", "processes", "output", "disk"):
            if not getattr(self, name) > 0:
                raise ValueError(f"the limit {name} is {getattr(self, name)}; it must be positive")


FLOOD = 16
FILES = 20_000  # files that a job may have at one time
DEPTH = 64  # folders in folders


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        command: program and arguments; never a secret in it, other processes may read it.
        work: the only folder that the job may write to, beside a /tmp of its own; it starts there.
        limits: what it may use.
        readable: files and folders that it may read, at their own paths, beside the interpreter's and the system's.
        environment: variables beside those of `variables`, which they overrule.
    """

    command: Sequence[str]
    work: Path
    limits: Limits
    readable: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        verdict: ok (exit status 0), crash, timeout (wall or cpu), memory, output_limit (log or disk).
        exit_code: None where a signal ended it.
        signal: its number, or None.
        wall: seconds.
        cpu: seconds over all processes.
        peak_memory: bytes, the largest sum that was seen.
        log: what it printed to stdout and stderr: valid text without control characters, cut in its middle.
    """

    verdict: str
    exit_code: int | None
    signal: int | None
    wall: float
    cpu: float
    peak_memory: int
    log: str


THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
OFFLINE = {  # libraries that would wait for a network say at once that there is none
    "PIP_NO_INDEX": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}


def variables(job: Job, scratch: str) -> dict[str, str]:
    """The whole environment of a job: nothing of the grader's own comes along.

    Args:
        scratch: the folder for temporary files, as the job sees it.
    """
    work = os.path.abspath(job.work)
    return {
        **dict.fromkeys(THREADS, "1"),
        **OFFLINE,
        "PATH": os.pathsep.join(
            [os.path.dirname(os.path.abspath(sys.executable)), "/usr/local/bin", "/usr/bin", "/bin"]
        ),
        "HOME": work,
        "USER": "student",
        "LOGNAME": "student",
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "Agg",
        "TQDM_DISABLE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        **job.environment,
    }
