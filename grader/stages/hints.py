"""A word of help for common accidents, found by what a program printed at its end. No judgement depends on it."""

from __future__ import annotations

import re

HINTS = (
    (r"NotImplementedError", "A function is still to be written: {line}"),
    (r"CUDA|Torch not compiled with CUDA|No CUDA GPUs", "There is no GPU here: do not call .cuda() where none is"),
    (r"ModuleNotFoundError: No module named '([\w.]{1,60})'",
     "The module {1} is not installed here, and not in your code/"),
    (r"FileNotFoundError: .{0,40}?'([^'\n]{1,120})'", "It opens {1}, which is not there; corpora are in ../data"),
    (r"EOFError: EOF when reading a line|bdb\.BdbQuit", "It waits for the keyboard (input, pdb), and there is none"),
    (r"getaddrinfo|Name or service not known|Temporary failure in name resolution|Network is unreachable"
     r"|urlopen error|ConnectionError|Could not find a version that satisfies", "There is no network here"),
    (r"PermissionError|Read-only file system", "It writes outside of its own folder"),
    (r"MemoryError|DefaultCPUAllocator: can't allocate", "It ran out of memory"),
    (r"SyntaxError|IndentationError|TabError", "Python cannot read it: {line}"),
    (r"unrecognized arguments|invalid choice|the following arguments are required", "Its command line differs: {line}"),
)  # fmt: skip


def hint(log: str) -> str:
    """One sentence, or nothing."""
    tail = log[-8000:]
    for pattern, text in HINTS:
        found = list(re.finditer(pattern, tail))
        if found:
            last = found[-1]
            start = tail.rfind("\n", 0, last.start()) + 1
            line = " ".join(tail[start:].split("\n", 1)[0].split())[:200]
            return text.format(last.group(0), *last.groups(), line=line)
    return ""
