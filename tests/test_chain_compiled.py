"""The loops that --compile makes: against enumeration, against the plain version, and how they are built and found.

Compiled once for this file, into a folder of its own; the tests skip where there is no C compiler.
"""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import chain as chain_module
import enumeration as brute
import options
import tag
from chain import ImpossibleError, LinearChain
from test_chain import INF, Potentials, make, normal

chain_compiled = pytest.importorskip("chain_compiled", reason="this package has no kernels")
chain_fast = pytest.importorskip("chain_fast", reason="this package has no kernels")
crf_neural_fast = pytest.importorskip("crf_neural_fast", reason="this package has no kernels")

either_trans = pytest.mark.parametrize("shared", [True, False], ids=["shared", "by position"])
either_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
TOLERANCE = {torch.float32: dict(rtol=1e-4, atol=1e-5), torch.float64: dict(rtol=1e-9, atol=1e-12)}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which the loops have been built."""
    if shutil.which(chain_compiled.compiler()[0]) is None:
        pytest.skip(f"no C compiler ({chain_compiled.compiler()[0]})")
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(chain_compiled, "library", None)
        assert chain_compiled.load() is None
    return folder


@pytest.fixture
def loops(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops are in use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(chain_compiled, "library", None)
    assert chain_compiled.load() is None


def made(batch: Potentials, limit: float = 600.0) -> chain_compiled.Passes | None:
    """What the loops make of a batch; None where they leave it to PyTorch."""
    return chain_compiled.forward_backward(*batch.parts, batch.lengths, True, limit)


def results(batch: Potentials, weight: Tensor) -> list[Tensor]:
    """log Z, its gradients, marginals, expected counts."""
    batch = batch.with_grad()
    log_z = batch.chain().log_partition
    gradients = torch.autograd.grad((log_z * weight).sum(), batch.parts)
    detached = batch.chain().detach()
    return [log_z.detach(), *gradients, detached.marginals, detached.transition_counts]


def plain_results(batch: Potentials, weight: Tensor) -> list[Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_module, "chain_fast", None)
        return results(batch, weight)


def same(found: list[Tensor], wanted: list[Tensor]) -> None:
    """Equal, up to the rounding of what was `found`."""
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.to(b.dtype), b, **TOLERANCE[a.dtype])


# Chains


@either_trans
@either_type
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_every_quantity_by_enumeration(loops: None, shared: bool, dtype: torch.dtype, k: int):
    rng = np.random.default_rng(k)
    for lengths in ([1], [4], [2, 5, 1, 5, 3], [1, 1, 1], [3] * 9):
        batch = make(rng, k, lengths, shared, normal(2.0), extra=int(rng.integers(2))).to(dtype)
        assert made(batch, 60.0) is not None
        chain, sentences = batch.chain(), batch.sentences()
        wanted = torch.tensor([brute.log_partition(sentence) for sentence in sentences], dtype=torch.float64)
        same([chain.log_partition], [wanted])
        same([chain.transition_counts], [torch.tensor(sum(map(brute.transition_counts, sentences)))])
        for b, sentence in enumerate(sentences):
            same([chain.marginals[b, : lengths[b]]], [torch.tensor(brute.marginals(sentence))])
            assert tuple(chain.argmax[b, : lengths[b]].tolist()) in brute.argmax(sentence, tolerance=1e-5)
            assert not chain.marginals[b, lengths[b] :].any() and (chain.argmax[b, lengths[b] :] == -1).all()


@either_trans
@either_type
@pytest.mark.parametrize(("k", "n"), [(16, 1), (17, 6), (45, 9), (48, 3), (100, 4), (131, 2)])
def test_more_tags_against_the_plain_version(loops: None, shared: bool, dtype: torch.dtype, k: int, n: int):
    rng = np.random.default_rng(k)
    lengths = rng.integers(1, n + 1, size=int(rng.integers(1, 12))).tolist()
    batch = make(rng, k, lengths, shared, normal(1.0), extra=1)
    weight = torch.from_numpy(rng.normal(size=len(lengths)))
    assert made(batch.to(dtype), 60.0) is not None
    same(results(batch.to(dtype), weight.to(dtype)), plain_results(batch, weight))
    found = batch.to(dtype).chain()
    best = batch.to(torch.float64).chain()
    torch.testing.assert_close(best.score(found.argmax), best.score(best.argmax), rtol=1e-5, atol=1e-5)


@either_trans
def test_gradients_by_differences(loops: None, shared: bool):
    batch = make(np.random.default_rng(1), 3, [3, 1, 4], shared, padding=lambda rng, shape: np.zeros(shape)).with_grad()
    assert made(batch) is not None
    assert torch.autograd.gradcheck(lambda *parts: LinearChain(*parts, batch.lengths).log_partition, batch.parts)


def test_a_gradient_can_be_asked_for_again(loops: None):
    batch = make(np.random.default_rng(2), 5, [4, 2], shared=False).with_grad()
    log_z = batch.chain().log_partition.sum()
    first = torch.autograd.grad(log_z, batch.parts, retain_graph=True)
    same(list(torch.autograd.grad(2 * log_z, batch.parts)), [2 * part for part in first])


@either_trans
def test_what_is_impossible_is_left_to_log_space(loops: None, shared: bool):
    rng = np.random.default_rng(3)
    batch = make(rng, 4, [3, 5, 1], shared, forbid=0.3)
    assert made(batch) is None
    chain = batch.chain()
    same([chain.log_partition], [torch.tensor([brute.log_partition(s) for s in batch.sentences()])])
    for b, sentence in enumerate(batch.sentences()):  # Viterbi is no sum, and takes -inf
        assert tuple(chain.argmax[b, : len(sentence.emit)].tolist()) in brute.argmax(sentence, tolerance=1e-9)
    batch.start[1] = -INF
    for ask in ("argmax", "marginals"):
        with pytest.raises(ImpossibleError, match="sentence 1 "):
            getattr(batch.chain(), ask)


@either_trans
def test_single_words_are_held_to_the_limit_too(loops: None, shared: bool):
    batch = make(np.random.default_rng(10), 3, [1, 1], shared, normal(1.0))
    assert made(batch) is not None
    for value in (1e4, -INF):
        batch.emit[1, 0, 0] = value
        assert made(batch) is None
        wanted = [brute.log_partition(sentence) for sentence in batch.sentences()]
        same([batch.chain().log_partition], [torch.tensor(wanted)])


@either_trans
@pytest.mark.parametrize("part", ["start", "emit", "trans", "stop"])
@pytest.mark.parametrize("value", [math.nan, INF])
def test_what_is_no_number_is_left_to_pytorch(loops: None, shared: bool, part: str, value: float):
    batch = make(np.random.default_rng(4), 20, [3, 3], shared)
    getattr(batch, part).view(-1)[7] = value
    assert made(batch) is None
    if math.isnan(value):
        assert chain_compiled.viterbi(*batch.parts, batch.lengths) is None


@either_trans
@either_type
def test_ranges_up_to_the_limit(loops: None, shared: bool, dtype: torch.dtype):
    """Just below, the loops are right; just above, they decline, and the result is right all the same."""
    k, limit = 3, chain_fast.LARGEST_RANGE[dtype] - 3 * math.log(3)
    rng = np.random.default_rng(5)
    weight = torch.ones(4, dtype=torch.float64)
    for share in (0.99, 1.01):
        for of_emit in (0.0, 0.5, 1.0):
            r = limit * share
            batch = make(rng, k, [9, 9, 1, 4], shared, lambda rng, shape: rng.choice([0.0, 1.0], shape))
            zero = torch.zeros_like(batch.start)
            batch = Potentials(zero, batch.emit * r * of_emit, batch.trans * r * (1 - of_emit), zero, batch.lengths)
            batch.emit[0, 0, :2] = torch.tensor([0.0, r * of_emit])  # the range is met in full
            batch.trans.view(-1)[:2] = torch.tensor([0.0, r * (1 - of_emit)])
            assert (made(batch.to(dtype), limit) is None) == (share > 1)
            found, wanted = results(batch.to(dtype), weight.to(dtype)), plain_results(batch, weight)
            for a, b in zip(found, wanted, strict=True):
                torch.testing.assert_close(a.double(), b, rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=1e-4)


@either_trans
def test_views_and_other_tensors(loops: None, shared: bool):
    """Expanded rows and slices are read where they lie; what lies otherwise is left to PyTorch."""
    rng = np.random.default_rng(6)
    batch = make(rng, 6, [5, 2, 4], shared)
    start, stop = batch.start[:1].expand(3, -1), batch.stop[0].expand(3, -1)
    emit = torch.stack([batch.emit, batch.emit], dim=1).flatten(1, 2)[:, :5]  # a slice of each sentence
    viewed = Potentials(start, emit, batch.trans, stop, batch.lengths)
    assert not viewed.emit.is_contiguous() and made(viewed) is not None
    weight = torch.ones(()).double().expand(3)
    same(results(viewed, weight), plain_results(viewed, weight))

    turned = Potentials(start, emit.mT.contiguous().mT, batch.trans.mT.contiguous().mT, stop, batch.lengths)
    assert made(turned) is None
    same([turned.chain().log_partition], [viewed.chain().log_partition])
    half = viewed.to(torch.float16)
    assert made(half) is None and half.chain().log_partition.dtype == torch.float16
    mixed = Potentials(start.float(), emit, batch.trans, stop, batch.lengths)
    assert made(mixed) is None
    for wrong in (0, 6):
        assert made(Potentials(start, emit, batch.trans, stop, torch.tensor([5, wrong, 4]))) is None


def test_nothing_is_compiled_unless_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chain_compiled, "library", None)
    assert made(make(np.random.default_rng(7), 3, [2], shared=True)) is None


# Sums of sigmoids


@either_type
@pytest.mark.parametrize(("P", "Q", "F"), [(1, 1, 1), (3, 17, 2), (5, 40, 7), (9, 16, 16), (2, 100, 1)])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_sums_of_sigmoids(loops: None, dtype: torch.dtype, P: int, Q: int, F: int, scale: float):
    generator = torch.Generator().manual_seed(P)
    x, y, theta, weight = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((P, F), (Q, F), (F,), (P, Q))
    )
    x, y = (scale * x).clamp(-79, 79), (scale * y).clamp(-79, 79)
    leaves = [part.to(dtype).requires_grad_() for part in (x, y, theta)]
    assert chain_compiled.sum_of_sigmoids(*(leaf.detach() for leaf in leaves)) is not None
    out = crf_neural_fast.sum_of_sigmoids(*leaves)
    found = [out.detach(), *torch.autograd.grad(out, leaves, weight.to(dtype))]

    leaves = [part.to(dtype).double().requires_grad_() for part in (x, y, theta)]
    out = torch.sigmoid(leaves[0][:, None] + leaves[1]) @ leaves[2]
    wanted = [out.detach(), *torch.autograd.grad(out, leaves, weight.to(dtype).double())]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=TOLERANCE[dtype]["rtol"], atol=1e-5 if scale > 1 else 1e-6)


@pytest.mark.parametrize("value", [81.0, -81.0, math.nan, INF])
def test_sigmoids_beyond_the_exponents_are_left_to_pytorch(loops: None, value: float):
    x, y, theta, weight = (torch.ones(*shape) for shape in ((3, 2), (4, 2), (2,), (3, 4)))
    for part in (x, y):
        part[1, 1] = value
        assert chain_compiled.sum_of_sigmoids(x, y, theta) is None
        assert chain_compiled.gradients_of_sigmoids(x, y, theta, weight) is None
        wanted = torch.sigmoid(x[:, None] + y) @ theta
        torch.testing.assert_close(crf_neural_fast.sum_of_sigmoids(x, y, theta), wanted, equal_nan=True)
        part[1, 1] = 1.0


# Building


@pytest.fixture
def fresh(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing is loaded, the cache is empty, and the compiler, which logs its calls, copies what was built."""
    (built,) = (cache / "neuralization").iterdir()
    compiler = tmp_path / "compiler"
    compiler.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/log\nwhile [ "$1" != -o ]; do shift; done\ncp {built} "$2"\n'
    )
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", f"{compiler} --an-argument")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(chain_compiled, "library", None)
    yield tmp_path
    chain_compiled.library = None


def builds(folder: Path) -> int:
    log = folder / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_what_was_built_is_found_again(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    assert chain_compiled.load() is None and builds(fresh) == 1
    assert chain_compiled.load() is None and builds(fresh) == 1
    chain_compiled.library = None
    assert chain_compiled.load() is None and builds(fresh) == 1
    for changed in (dict(SOURCE=fresh / "other.c"), dict(FLAGS=(["-O1"],)), dict(machine=lambda: b"another")):
        shutil.copy(chain_compiled.SOURCE, fresh / "other.c")
        with (fresh / "other.c").open("a") as file:
            file.write("/* not the same */\n")
        before = builds(fresh)
        with monkeypatch.context() as patch:
            for name, value in changed.items():
                patch.setattr(chain_compiled, name, value)
            patch.setattr(chain_compiled, "library", None)
            assert chain_compiled.load() is None and builds(fresh) == before + 1, changed


def test_processes_that_build_at_once(fresh: Path):
    """Each puts a whole file in place, the last one's stays, and nothing else is left."""
    folder = chain_compiled.cache_folder()
    problems: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: problems.append(chain_compiled.build(folder / "chain.so"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == [None] * 4 and [path.name for path in folder.iterdir()] == ["chain.so"]
    chain_compiled.ctypes.CDLL(str(folder / "chain.so"))


def test_without_a_cache_it_is_built_each_time(fresh: Path):
    (fresh / "cache").write_text("a file, not a folder")
    assert chain_compiled.cache_folder() is None
    for times in (1, 2):
        chain_compiled.library = None
        assert chain_compiled.load() is None and builds(fresh) == times
    assert made(make(np.random.default_rng(8), 3, [2], shared=True)) is not None


def test_what_others_can_write_to_is_not_trusted(fresh: Path):
    folder = chain_compiled.cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert chain_compiled.load() is None and builds(fresh) == 1
    (library,) = folder.iterdir()
    library.chmod(0o722)
    chain_compiled.library = None
    assert chain_compiled.load() is None and builds(fresh) == 2
    assert chain_compiled.is_ours(library)

    folder.chmod(0o777)
    chain_compiled.library = None
    assert chain_compiled.load() is None and builds(fresh) == 3
    folder.rename(fresh / "elsewhere")
    (fresh / "elsewhere").chmod(0o700)
    folder.symlink_to(fresh / "elsewhere")
    assert chain_compiled.cache_folder() is None


def test_a_compiler_that_does_not_know_the_machine(fresh: Path):
    compiler = fresh / "compiler"
    compiler.write_text(compiler.read_text().replace("while", 'case "$*" in *=native*) exit 1;; esac\nwhile', 1))
    assert chain_compiled.load() is None
    assert builds(fresh) == len(chain_compiled.FLAGS)


@pytest.mark.parametrize(
    ("compiler", "complaint"),
    [
        ("#!/bin/sh\necho 'no such luck' >&2\nexit 1\n", "failed: no such luck"),
        ("#!/bin/sh\nwhile [ $1 != -o ]; do shift; done\necho rubbish > $2\n", "OSError: "),
        (None, "no C compiler"),
    ],
    ids=["fails", "makes rubbish", "is absent"],
)
def test_one_warning_where_it_cannot_be_compiled(
    fresh: Path, compiler: str | None, complaint: str, capsys: pytest.CaptureFixture[str]
):
    path = fresh / "compiler"
    path.unlink() if compiler is None else path.write_text(compiler)
    tag.prepare_machine(options.parser().parse_args(["endev", "--compile"]))
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1
    assert captured.err.startswith("tag.py: warning: --compile: no kernels compiled, the usual ones serve: ")
    assert complaint in captured.err
    assert made(make(np.random.default_rng(9), 3, [2], shared=True)) is None
