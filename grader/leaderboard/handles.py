"""Handles, links and the staff's token: what keeps names off the board.

A handle is a keyed hash of what names a student (HMAC-SHA256 by the staff's key, 40 bits, as `k3f7-9q2m`): the same
student always gets the same one, nobody without the key can find a handle from a list of names, and no name is
stored. A student's link holds the handle, the second when it ends, and an HMAC of both; so a link can be neither made
nor lengthened without the key, and none needs to be stored. The key is a file that only its owner can read; each use
has a key of its own, derived from it.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from grader.errors import UsageError

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # no i, l, o, u: nothing to misread
BYTES = 32


class LinkError(Exception):
    """The link is not one of ours, or its time is over; the message says which."""


def private_secret(path: Path) -> bytes:
    """The secret in a file of mode 600, which is made if there is none.

    Raises:
        UsageError: the file is open to others, or holds no secret.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        make_secret(path)
        mode = path.stat().st_mode
    if os.name == "posix" and mode & 0o077:
        raise UsageError(f"{path} can be read by others (mode {mode & 0o777:o}): chmod 600 it, or make a new one")
    text = path.read_text(encoding="ascii", errors="replace").strip()
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) < BYTES:
        raise UsageError(f"{path} holds no key: {2 * BYTES} hexadecimal digits are expected")
    return secret


def make_secret(path: Path) -> None:
    """Write a new secret; where another process has just done so, leave that one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, fresh = tempfile.mkstemp(dir=path.parent)  # of mode 600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(fresh)


def sign(key: bytes, *parts: str) -> bytes:
    return hmac.digest(key, "\0".join(parts).encode("utf-8", "surrogatepass"), "sha256")


def normal(student: str) -> str:
    return unicodedata.normalize("NFC", student.strip().casefold())


class Key:
    """The staff's key, and what is made by it."""

    def __init__(self, secret: bytes):
        self._handles, self._links = sign(secret, "handles"), sign(secret, "links")
        self.fingerprint = sign(secret, "fingerprint").hex()[:16]

    def handle(self, student: str) -> str:
        """The handle of a student; case, blanks around and the form of accents do not matter."""
        return self._handle(normal(student))

    def group(self, students: Iterable[str]) -> str:
        """The handle of a group of students; their order does not matter."""
        return self._handle("\n".join(sorted(map(normal, students))))

    def _handle(self, name: str) -> str:
        number = int.from_bytes(sign(self._handles, name)[:5], "big")
        digits = "".join(DIGITS[number >> shift & 31] for shift in range(35, -1, -5))
        return f"{digits[:4]}-{digits[4:]}"

    def link(self, handle: str, end: float) -> str:
        """The part of a link that says whose it is; `end` is in seconds since 1970."""
        return f"{handle}.{int(end)}.{self._signature(handle, int(end))}"

    def handle_of_link(self, link: str, now: float) -> str:
        """Whose link it is.

        Raises:
            LinkError: forged, damaged, or over.
        """
        try:
            handle, end, signature = link.split(".")
            if not (end.isascii() and end.isdecimal() and len(end) < 12):
                raise ValueError
            seconds = int(end)
        except ValueError:
            raise LinkError("This link is not complete.") from None
        if not hmac.compare_digest(
            signature.encode("utf-8", "surrogatepass"), self._signature(handle, seconds).encode()
        ):
            raise LinkError("This link was not made here.")
        if now >= seconds:
            raise LinkError("This link has expired. Ask the course staff for a new one.")
        return handle

    def _signature(self, handle: str, end: int) -> str:
        return base64.urlsafe_b64encode(sign(self._links, handle, str(end))).decode().rstrip("=")
