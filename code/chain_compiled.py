"""The loops of chain_kernels.c: compiled by the machine's C compiler, loaded, and called on tensors.

`load` takes a second or two the first time on a machine and nothing later: what it compiles stays in the user's cache.
chain_fast.py calls the rest once that has succeeded, for tensors that `fit`. All work is done in one call of C, on one
thread; at these sizes that is sooner than PyTorch's first few operations are issued.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

SOURCE = Path(__file__).with_name("chain_kernels.c")
# each is tried in turn: not every compiler knows the machine it is on
FLAGS = (
    ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"],
    ["-O3", "-mcpu=native", "-fno-math-errno", "-fno-trapping-math"],
    ["-O2"],
)
SUFFIX = {torch.float32: "_float32", torch.float64: "_float64"}
LARGEST_EXPONENT = {torch.float32: 80.0, torch.float64: 600.0}  # e^x and e^-x are normal numbers
PADDING = 64  # numbers: more than any vector holds

library: ctypes.CDLL | None = None


class Chain(ctypes.Structure):
    """The C file's Chain: sizes, potentials and their strides."""

    _fields_ = [(name, ctypes.c_int64) for name in ("B", "n", "k")]
    _fields_ += [(name, ctypes.c_void_p) for name in ("start", "emit", "trans", "stop")]
    _fields_ += [
        (name, ctypes.c_int64)
        for name in ("start_row", "emit_sentence", "emit_position", "trans_sentence", "trans_position", "stop_row")
    ]
    _fields_ += [("lengths", ctypes.c_void_p), ("limit", ctypes.c_double)]
    _fields_ += [("places", ctypes.c_void_p), ("room", ctypes.c_void_p)]


# Loading


def load() -> str | None:
    """Compile the loops, or find them compiled, and use them from now on; what is wrong if that fails, else None."""
    global library
    if library is not None:
        return None
    try:
        source = SOURCE.read_bytes()
        with tempfile.TemporaryDirectory(prefix="kernels-") as temporary:
            folder = cache_folder() or Path(temporary)
            path = folder / f"chain-{hashlib.sha256(source + machine()).hexdigest()[:20]}.so"
            if not is_ours(path):
                problem = build(path)
                if problem:
                    return problem
            loaded = ctypes.CDLL(str(path))
        declare(loaded)
    except (OSError, AttributeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    library = loaded
    return None


def compiler() -> list[str]:
    """The command, which may have arguments of its own."""
    return shlex.split(os.environ.get("CC") or "cc") or ["cc"]


def machine() -> bytes:
    """What code compiled here depends on, besides its source."""
    processor = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        processor = "\n".join(sorted({x for x in lines if x.startswith(("model name", "flags", "Features", "CPU"))}))
    except OSError:  # not Linux
        pass
    return repr((sys.platform, platform.machine(), processor, compiler(), FLAGS)).encode()


def cache_folder() -> Path | None:
    """The user's, made if need be; None where there is none that no other user can write to."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "neuralization"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if is_ours(folder) and os.access(folder, os.W_OK) else None


def is_ours(path: Path) -> bool:
    """Whether it is there, no link, and neither another user's nor writable by others."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022 and not path.is_symlink()


def build(path: Path) -> str | None:
    """Compile to `path`, which appears only once it is whole; what is wrong if that fails."""
    if shutil.which(compiler()[0]) is None:
        return f"no C compiler ({compiler()[0]})"
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="compiling-") as folder:
        made = Path(folder) / path.name
        for flags in FLAGS:
            command = [*compiler(), *flags, "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-lm"]
            try:
                run = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120)
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"{compiler()[0]}: {error}"
            if run.returncode == 0:
                made.chmod(0o700)
                made.replace(path)
                return None
    return f"{compiler()[0]} failed: {' '.join(run.stderr.split())[:200] or f'exit status {run.returncode}'}"


def declare(loaded: ctypes.CDLL) -> None:
    """Say what the functions take; pointers, but for the counts and strides named here."""
    pointer, count, chain = ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(Chain)
    for suffix in SUFFIX.values():
        for name, result, *arguments in (
            ("room", count, count, count),
            ("shared_passes", ctypes.c_int, chain, ctypes.c_int, pointer),
            ("position_passes", ctypes.c_int, chain, ctypes.c_int, pointer, pointer),
            ("emission_gradient", None, chain, pointer, count, pointer, pointer, pointer),
            ("shared_gradient", None, chain, pointer, count, pointer, pointer),
            ("position_gradient", None, chain, pointer, count, pointer, pointer),
            ("viterbi", ctypes.c_int, chain, ctypes.c_int, pointer, pointer, pointer),
            ("sigmoids", ctypes.c_int, *[count] * 3, *[pointer] * 3, ctypes.c_double, *[pointer] * 2),
            ("sigmoids_gradient", ctypes.c_int, *[count] * 3, *[pointer] * 3, ctypes.c_double, *[pointer] * 5),
        ):
            function = getattr(loaded, name + suffix)
            function.argtypes, function.restype = arguments, result


# Chains


class Loops:
    """A batch, as the loops take it: its tensors, and the memory they work in.

    Args:
        limit: the largest range of a column of emissions and the transitions together that exp space bears, in nats.
    """

    def __init__(self, start: Tensor, emit: Tensor, trans: Tensor, stop: Tensor, lengths: Tensor, limit: float):
        B, n, k = self.shape = emit.shape
        self.shared, self.dtype, self.suffix = trans.dim() == 2, emit.dtype, SUFFIX[emit.dtype]
        self.places = torch.empty(B + n + 1, dtype=torch.int64)
        self.room = emit.new_empty(self.function("room")(B * n, k))
        self.tensors = start, emit, trans, stop, lengths  # the pointers are good as long as these are here
        trans_strides = (0, 0) if self.shared else trans.stride()[:2]
        self.chain = Chain(
            B, n, k, start.data_ptr(), emit.data_ptr(), trans.data_ptr(), stop.data_ptr(), start.stride(0),
            *emit.stride()[:2], *trans_strides, stop.stride(0), lengths.data_ptr(), limit, self.places.data_ptr(),
            self.room.data_ptr(),
        )  # fmt: skip

    def function(self, name: str) -> ctypes._CFuncPtr:
        return getattr(library, name + self.suffix)

    def empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype)


class Passes(Loops):
    """chain_fast.Passes, from compiled loops."""

    log_partition: Float[Tensor, "B"]

    def run(self, backward: bool) -> bool:
        """The passes; whether exp space is safe for them. If not, nothing else of this object is of use."""
        B, n, k = self.shape
        self.log_partition = self.empty(B)
        if self.shared:
            return bool(self.function("shared_passes")(self.chain, backward, self.log_partition.data_ptr()))
        work = self.empty((max(n - 1, 1) if backward else 1) * k * k + k + PADDING)
        return bool(
            self.function("position_passes")(self.chain, backward, self.log_partition.data_ptr(), work.data_ptr())
        )

    def gradients(
        self, weight: Float[Tensor, "B"], of_trans: bool
    ) -> tuple[Float[Tensor, "B k"], Float[Tensor, "B n k"], Tensor | None, Float[Tensor, "B k"]]:
        B, n, k = self.shape
        by_start, by_emit, by_stop = self.empty(B, k), self.empty(B, n, k), self.empty(B, k)
        self.function("emission_gradient")(
            self.chain, weight.data_ptr(), weight.stride(0), by_start.data_ptr(), by_emit.data_ptr(), by_stop.data_ptr()
        )
        return by_start, by_emit, self.transition_gradient(weight) if of_trans else None, by_stop

    def emission_gradient(self, weight: Float[Tensor, "B"]) -> Float[Tensor, "B n k"]:
        return self.gradients(weight, False)[1]

    def transition_gradient(self, weight: Float[Tensor, "B"]) -> Tensor:
        """[k, k] or [B, n-1, k, k], as the transitions are."""
        B, n, k = self.shape
        width = k + PADDING  # a column with its padding, at most
        if self.shared:
            by_trans, work, name = self.empty(k, k), self.empty((2 * B * n + k) * width), "shared_gradient"
        else:
            by_trans, work, name = self.empty(B, n - 1, k, k), self.empty(k * k), "position_gradient"
        self.function(name)(self.chain, weight.data_ptr(), weight.stride(0), by_trans.data_ptr(), work.data_ptr())
        return by_trans


def forward_backward(
    start: Tensor, emit: Tensor, trans: Tensor, stop: Tensor, lengths: Tensor, backward: bool, limit: float
) -> Passes | None:
    """chain_fast.forward_backward where that can be done by these loops, else None."""
    if not fits(start, emit, trans, stop, lengths):
        return None
    passes = Passes(start, emit, trans, stop, lengths, limit)
    return passes if passes.run(backward) else None


def viterbi(
    start: Tensor, emit: Tensor, trans: Tensor, stop: Tensor, lengths: Tensor
) -> tuple[Int[Tensor, "B n"], Float[Tensor, "B"]] | None:
    """chain_fast.viterbi where that can be done by these loops, else None."""
    if not fits(start, emit, trans, stop, lengths):
        return None
    loops = Loops(start, emit, trans, stop, lengths, 0.0)
    B, n, k = loops.shape
    tags, score, work = lengths.new_empty(B, n), loops.empty(B), loops.empty((k + 1) * (k + PADDING))
    done = loops.function("viterbi")(loops.chain, loops.shared, tags.data_ptr(), score.data_ptr(), work.data_ptr())
    return (tags, score) if done else None


def fits(start: Tensor, emit: Tensor, trans: Tensor, stop: Tensor, lengths: Tensor) -> bool:
    """Whether the loops are there, and can read the tensors as they are."""
    if library is None or emit.numel() == 0 or emit.dtype not in SUFFIX:
        return False
    potentials = start, emit, trans, stop
    return (
        all(x.device.type == "cpu" and x.dtype == emit.dtype for x in potentials)
        and all(x.stride(-1) == 1 or x.numel() == 0 for x in potentials)
        and (trans.stride(-2) == emit.shape[2] or trans.numel() == 0)
        and lengths.dtype == torch.int64
        and lengths.is_contiguous()
    )


# Sums of sigmoids


def sum_of_sigmoids(
    x: Float[Tensor, "P F"], y: Float[Tensor, "Q F"], theta: Float[Tensor, "F"]
) -> Float[Tensor, "P Q"] | None:
    """crf_neural_fast.sum_of_sigmoids of contiguous tensors, without its gradient; None where these loops cannot."""
    if not fit_sigmoids(x, y, theta):
        return None
    (P, F), Q = x.shape, len(y)
    out, work = x.new_empty(P, Q), x.new_empty(P * F + F * (Q + PADDING) + PADDING)
    function = getattr(library, "sigmoids" + SUFFIX[x.dtype])
    pointers = (part.data_ptr() for part in (x, y, theta))
    return out if function(P, Q, F, *pointers, LARGEST_EXPONENT[x.dtype], out.data_ptr(), work.data_ptr()) else None


def gradients_of_sigmoids(
    x: Float[Tensor, "P F"], y: Float[Tensor, "Q F"], theta: Float[Tensor, "F"], by_out: Float[Tensor, "P Q"]
) -> tuple[Float[Tensor, "P F"], Float[Tensor, "Q F"], Float[Tensor, "F"]] | None:
    """Its gradients with respect to x, y and theta, given that with respect to what it returns."""
    if not fit_sigmoids(x, y, theta, by_out):
        return None
    (P, F), Q = x.shape, len(y)
    made = torch.empty_like(x), torch.empty_like(y), torch.empty_like(theta)
    work = x.new_empty(P * F + (2 * F + 1) * (Q + PADDING) + PADDING)
    function = getattr(library, "sigmoids_gradient" + SUFFIX[x.dtype])
    pointers = (part.data_ptr() for part in (x, y, theta))
    rest = (part.data_ptr() for part in (by_out, *made, work))
    return made if function(P, Q, F, *pointers, LARGEST_EXPONENT[x.dtype], *rest) else None


def fit_sigmoids(x: Tensor, *others: Tensor) -> bool:
    if library is None or x.dtype not in SUFFIX or x.numel() == 0:
        return False
    return all(part.device.type == "cpu" and part.dtype == x.dtype and part.numel() for part in (x, *others))
