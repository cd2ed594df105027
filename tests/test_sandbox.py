"""The sandbox: verdicts, limits, that nothing survives, that the probes can fail, and reading what a job left behind.

Every level that this machine allows is tested; a skip says why a level is not to be had.
"""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from grader.errors import GraderFault, StudentFault, UsageError
from grader.sandbox import (
    Job,
    Limits,
    confined,
    landlock,
    namespaces,
    open_sandbox,
    proc,
    read_output,
    seccomp,
    users,
    watch,
)
from grader.sandbox.probes import alive, probe

ROOT = Path(__file__).resolve().parents[1]
LIMITS = Limits(wall=20, cpu=10, memory=256 << 20, processes=40, output=10_000, disk=32 << 20)


@pytest.fixture(params=["A", "B", "C"])
def sandbox(request):
    try:
        return open_sandbox(request.param)
    except GraderFault as fault:
        assert fault.kind == "sandbox_unavailable"
        pytest.skip(f"level {request.param} is not to be had here: {fault.message}")


@pytest.fixture
def strictest():
    try:
        return open_sandbox("auto", floor="C")
    except GraderFault as fault:
        pytest.skip(f"no level is to be had here: {fault.message}")


def run(sandbox, code: str, before=None, readable=(), environment=None, **limits):
    """Run a program; returns the outcome and what `files` of the work folder hold afterwards."""
    with sandbox.scratch() as folder:
        work = folder / "work"
        work.mkdir()
        if before:
            before(work)
        command = [sys.executable, "-I", "-c", textwrap.dedent(code)]
        job = Job(command, work, dataclasses.replace(LIMITS, **limits), readable, environment or {})
        outcome = sandbox.run(job)
        files = {p.name: p.read_bytes() for p in sorted(work.iterdir()) if p.is_file() and not p.is_symlink()}
    return outcome, files


def test_every_probe_is_closed(sandbox):
    assert len(sandbox.probes) >= 17
    assert all(row["closed"] for row in sandbox.probes)
    assert {"read_hidden", "socket_families", "survive", "write_outside"} <= {row["name"] for row in sandbox.probes}


def test_an_honest_program(sandbox):
    code = """
        import os, sys, multiprocessing, tempfile
        with tempfile.NamedTemporaryFile() as file: file.write(b"x")
        open("answer.txt", "w").write(open("question.txt").read().upper())
        left, right = multiprocessing.Pipe()
        print("to stdout"); print("to stderr", file=sys.stderr)
        print(os.environ["OMP_NUM_THREADS"], os.environ["HOME"] == os.getcwd(), end=" ")
        print(os.environ["MINE"], sys.stdin.read() == "")
    """
    outcome, files = run(
        sandbox, code, lambda work: (work / "question.txt").write_text("why"), environment={"MINE": "yes"}
    )
    assert outcome.verdict == "ok" and outcome.exit_code == 0 and outcome.signal is None, outcome
    assert files["answer.txt"] == b"WHY"
    assert set(outcome.log.split("\n")) == {"to stdout", "to stderr", "1 True yes True", ""}
    assert outcome.wall > 0 and outcome.cpu > 0 and outcome.peak_memory > 1 << 20


def test_readable_files_are_there_and_only_they(sandbox):
    with sandbox.scratch() as folder:
        (folder / "data").mkdir()
        (folder / "data" / "words").write_text("a b")
        (folder / "secret").write_text("a/D b/N")
        sandbox.hide(folder / "secret")
        code = f"""
            words, secret = {str(folder / "data" / "words")!r}, {str(folder / "secret")!r}
            print(open(words).read())
            for act in (lambda: open(secret), lambda: open(words, "a")):
                try: print("open", act())
                except OSError as problem: print("closed")
        """
        assert run(sandbox, code, readable=[folder / "data"])[0].log.split() == ["a", "b", "closed", "closed"]
        assert (folder / "data" / "words").read_text() == "a b"


CRASHES = {
    "raise SystemExit(3)": (3, None),
    "raise SystemExit(137)": (137, None),
    "1 / 0": (1, None),
    "import os; os.abort()": (None, signal.SIGABRT),
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": (None, signal.SIGSEGV),
    "print('bwrap: no such thing'); raise SystemExit(1)": (1, None),
}


@pytest.mark.parametrize("code", CRASHES)
def test_crashes_are_crashes(sandbox, code):
    outcome, _ = run(sandbox, code)
    assert outcome.verdict == "crash"
    found = (outcome.exit_code, outcome.signal)
    assert found == CRASHES[code] or (sandbox.name == "A" and found == (None, 9) and "137" in code)


LIMITED = {
    "sleep": ("import time; time.sleep(100)", {"wall": 0.7}, "timeout"),
    "compute": ("while True: pass", {"cpu": 0.7}, "timeout"),
    "compute in children": (
        "import os\nfor _ in range(3): os.fork()\nwhile True: pass",
        {"cpu": 1.5},
        "timeout",
    ),
    "deaf to signals": (
        "import signal, time\nfor s in range(1, 32):\n  if s not in (9, 19, 17): signal.signal(s, signal.SIG_IGN)\n"
        "while True: time.sleep(1)",
        {"wall": 0.7},
        "timeout",
    ),
    "memory": (
        "x = bytearray(400 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nimport time; time.sleep(9)",
        {},
        "memory",
    ),
    "memory in parts": (
        "import os, time\nfor _ in range(6):\n  if not os.fork():\n    x = bytearray(b'1') * (70 << 20); break\n"
        "time.sleep(15)",
        {},
        "memory",
    ),
    "flood": ("import sys\nwhile True: sys.stdout.write('x' * 100000)", {}, "output_limit"),
    "one large file": ("f = open('x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))", {}, "output_limit"),
    "many large files": (
        "import time\nfor i in range(4): open(f'x{i}', 'wb').write(b'x' * (12 << 20))\ntime.sleep(15)",
        {},
        "output_limit",
    ),
    "deep folders": (
        "import os, time\nfor i in range(200): os.mkdir('d'); os.chdir('d')\ntime.sleep(15)",
        {},
        "output_limit",
    ),
    "many files": (
        "import time\nfor i in range(400): open(f'x{i}', 'w').close()\ntime.sleep(15)",
        {},
        "output_limit",
    ),
    "forks": ("import os, time\nwhile True:\n  try: os.fork()\n  except OSError: time.sleep(0.1)", {"wall": 2}, None),
    "threads": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(0.5,)).start()",
        {"wall": 5},
        "crash",
    ),
}


@pytest.mark.parametrize("name", LIMITED)
def test_limits_are_kept(strictest, name, monkeypatch):
    limit_is_kept(strictest, name, monkeypatch)


@pytest.mark.parametrize("name", ["deaf to signals", "memory in parts", "forks", "many large files"])
def test_each_level_keeps_limits(sandbox, name, monkeypatch):
    limit_is_kept(sandbox, name, monkeypatch)


def limit_is_kept(sandbox, name, monkeypatch):
    monkeypatch.setattr(watch, "FILES", 300)
    code, limits, verdict = LIMITED[name]
    marker = f"'{sandbox.name} {name} {os.getpid()}'"
    outcome, _ = run(sandbox, f"{marker}\n{code}", **limits)
    assert outcome.verdict in ([verdict] if verdict else ["timeout", "crash"]), outcome
    assert not alive(marker)
    if verdict in ("timeout", "memory", "output_limit"):
        assert "[stopped: " in outcome.log


def test_memory_that_processes_share_counts_once(sandbox):
    code = """
        import os, time
        x = bytearray(b"1") * (120 << 20)
        for _ in range(4):
            if not os.fork(): time.sleep(0.6); os._exit(0)
        time.sleep(0.8)
    """
    assert run(sandbox, code)[0].verdict == "ok"


def test_a_process_that_has_ended_holds_no_memory():
    """Not what it held when it was last looked at."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    looked_at = ["0"] * 21 + ["1000000"]
    assert proc.shared_once({process.pid: looked_at}) == 0
    process.wait()
    assert proc.shared_once({process.pid: looked_at}) == 0


@pytest.mark.parametrize("ends", ["ends", "hangs"])
def test_nothing_survives(sandbox, ends):
    """A double fork with a session of its own, after which the job ends or is ended."""
    marker = f"survivor-{os.getpid()}-{sandbox.name}-{ends}"
    code = f"""
        '{marker}'
        import os, time
        if not os.fork():
            os.setsid()
            if not os.fork():
                open("alive", "w").write("x")
                os.close(1), os.close(2)
                time.sleep(300)
            os._exit(0)
        while not os.path.exists("alive"): time.sleep(0.01)
        if {ends!r} == "hangs": time.sleep(300)
    """
    outcome, files = run(sandbox, code, wall=3)
    assert outcome.verdict == {"ends": "ok", "hangs": "timeout"}[ends] and files["alive"] == b"x"
    assert not alive(marker)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_when_the_grader_dies_so_does_the_job(sandbox, number):
    marker = f"orphan-{os.getpid()}-{sandbox.name}-{int(number)}"
    with sandbox.scratch() as folder:
        (folder / "work").mkdir()
        job = f"""
            import os, time
            '{marker}'
            if not os.fork():
                os.setsid()
            open("alive", "w").close()
            time.sleep(300)
        """
        grader = f"""
            import sys
            from pathlib import Path
            from grader.sandbox import Job, Limits
            from grader.sandbox.confined import Confined
            Confined({sandbox.name!r}).run(Job([sys.executable, "-I", "-c", {textwrap.dedent(job)!r}],
                Path({str(folder / "work")!r}), Limits(60, 60, 1 << 28, 30, 10000, 1 << 24)))
        """
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(grader)], cwd=ROOT, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if (folder / "work" / "alive").exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        assert process.poll() is None and len(alive(marker)) >= 2
        process.send_signal(number)
        process.wait()
        for _ in range(200):
            if not alive(marker):
                break
            time.sleep(0.05)
        assert not alive(marker)


def test_runs_side_by_side(sandbox):
    outcomes = {}

    def one(number: int) -> None:
        code = f"import os, time; time.sleep(0.2); open('mine', 'w').write('{number}'); print(os.listdir('.'))"
        outcomes[number] = run(sandbox, code)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, (outcome, files) in outcomes.items():
        assert outcome.verdict == "ok" and files["mine"] == str(number).encode(), outcome
    assert len(outcomes) == 6


def test_a_run_leaves_nothing_for_the_next(sandbox):
    code = """
        import os
        for folder in ("/tmp", "/dev/shm", "/var/tmp"):
            try: open(f"{folder}/left-by-a-job", "w").close()
            except OSError: pass
            print(os.path.exists(f"{folder}/left-by-a-job"), end=" ")
            try: print(sorted(n for n in os.listdir(folder) if "left-by" in n))
            except OSError: print([])
    """
    looks = "import os\nfor f in ('/tmp', '/dev/shm', '/var/tmp'): print(os.path.exists(f'{f}/left-by-a-job'))"
    assert run(sandbox, code)[0].verdict == "ok"
    assert run(sandbox, looks)[0].log.split() == ["False"] * 3
    assert not any(Path(folder, "left-by-a-job").exists() for folder in ("/tmp", "/dev/shm", "/var/tmp"))


def test_work_folder_is_the_graders_again(sandbox):
    code = "import os; os.mkdir('d', 0); open('f', 'w').close(); os.chmod('f', 0); os.symlink('/etc/passwd', 'l')"
    with sandbox.scratch() as folder:
        (folder / "work").mkdir()
        sandbox.run(Job([sys.executable, "-I", "-c", code], folder / "work", LIMITS))
        for name in ("d", "f", "l", "."):
            assert os.lstat(folder / "work" / name).st_uid == os.geteuid()
        assert (folder / "work" / "f").read_bytes() == b"" and list((folder / "work" / "d").iterdir()) == []
        assert (folder / "work").stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_torch_trains(strictest):
    code = """
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        torch.manual_seed(0)
        lstm, out = torch.nn.LSTM(4, 8, batch_first=True), torch.nn.Linear(8, 2)
        optimizer = torch.optim.Adam([*lstm.parameters(), *out.parameters()])
        x, y = torch.randn(8, 5, 4), torch.randint(2, (8, 5))
        for bx, by in DataLoader(TensorDataset(x, y), batch_size=4):
            loss = torch.nn.functional.cross_entropy(out(lstm(bx)[0]).flatten(0, 1), by.flatten())
            optimizer.zero_grad(); loss.backward(); optimizer.step()
        torch.save(lstm.state_dict(), "model.pt")
        print("threads", torch.get_num_threads(), "finite", bool(torch.isfinite(loss)))
    """
    outcome, files = run(strictest, code, wall=200, cpu=100, memory=2 << 30)
    assert outcome.verdict == "ok" and outcome.log.strip().endswith("threads 1 finite True"), outcome
    assert len(files["model.pt"]) > 1000


# The probes can fail


def test_without_the_filter_a_level_is_refused(sandbox):
    table = {row["name"]: row["closed"] for row in probe(confined.Confined(sandbox.name, filtered=False))}
    assert not table["system_calls"] and not table["foreign_calls"] and not table["socket_families"]


class Leaky(confined.Confined):
    """Lets its jobs read the folder that the probes hide."""

    def run(self, job):
        hidden = Path(json.loads(job.command[-1])["hidden"][0]).parent
        hidden.chmod(0o755)
        return super().run(dataclasses.replace(job, readable=[*job.readable, hidden]))


def test_an_open_canary_is_found(sandbox, monkeypatch):
    table = {row["name"]: row["closed"] for row in probe(Leaky(sandbox.name))}
    assert not table["read_hidden"] and table["socket_families"]
    monkeypatch.setattr("grader.sandbox._proven", {})
    monkeypatch.setattr("grader.sandbox.confined.Confined", Leaky)
    with pytest.raises(GraderFault, match="read_hidden") as caught:
        open_sandbox(sandbox.name)
    assert caught.value.kind == "sandbox_unavailable"


def test_refusals_name_their_remedies(monkeypatch):
    monkeypatch.setattr("grader.sandbox._proven", {})
    monkeypatch.setattr(
        namespaces, "bubblewrap", lambda: (None, "bubblewrap is not installed (apt install bubblewrap)")
    )
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(confined.os, "geteuid", lambda: 1000)
    with pytest.raises(GraderFault, match=r"apt install bubblewrap.*Landlock.*root") as caught:
        open_sandbox("auto", floor="C")
    assert caught.value.kind == "sandbox_unavailable"
    monkeypatch.setattr("grader.sandbox._proven", {"C": []})
    assert open_sandbox("auto", floor="C").name == "C"
    with pytest.raises(GraderFault, match="below the floor B"):
        open_sandbox("auto", floor="B")


def test_no_sandbox_needs_the_long_word():
    with pytest.raises(UsageError, match="i-trust-this-code"):
        open_sandbox("none")
    with pytest.raises(UsageError, match="'D'"):
        open_sandbox("D")
    bare = open_sandbox("none", trust=True)
    assert bare.name == "none" and bare.probes == []
    outcome, files = run(bare, "open('answer', 'w').write('42'); print('done')")
    assert (outcome.verdict, outcome.log, files["answer"]) == ("ok", "done\n", b"42")
    assert run(bare, "import time; time.sleep(60)", wall=0.5)[0].verdict == "timeout"
    assert run(bare, "x = bytearray(b'1') * (400 << 20); import time; time.sleep(20)")[0].verdict == "memory"
    assert run(bare, "raise SystemExit(2)")[0].exit_code == 2


def test_a_plain_user_gets_levels_a_and_b_and_is_told_of_c(tmp_path):
    python = "/usr/bin/python3"
    if os.geteuid() != 0:
        pytest.skip("the other tests run as a plain user already")
    if (
        not os.path.exists(python)
        or subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 10))"]).returncode
    ):
        pytest.skip("the system has no Python 3.10 that a plain user could run")
    with open_scratch() as folder:
        shutil.copytree(ROOT / "grader" / "sandbox", folder / "grader" / "sandbox")
        shutil.copy(ROOT / "grader" / "errors.py", folder / "grader" / "errors.py")
        (folder / "grader" / "__init__.py").write_text("")
        code = """
            import os, sys, tempfile
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
            from grader.errors import GraderFault
            from grader.sandbox import Job, Limits, open_sandbox
            for level in "ABC":
                try:
                    box = open_sandbox(level)
                    with box.scratch() as place:
                        (place / "w").mkdir()
                        limits = Limits(9, 9, 1 << 28, 9, 999, 1 << 20)
                        job = Job([sys.executable, "-I", "-c", "print('in')"], place / "w", limits)
                        print(level, box.run(job).log.strip())
                except GraderFault as fault: print(level, fault.message)
        """
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
        result = subprocess.run(
            [python, "-B", "-c", textwrap.dedent(code)],
            cwd=folder,
            capture_output=True,
            text=True,
            env={"HOME": "/nonexistent"},
        )
    lines = {line[0]: line[2:] for line in result.stdout.splitlines()}
    for level, missing in (("A", namespaces.bubblewrap()[1]), ("B", "" if landlock.version() >= 6 else "Landlock")):
        assert lines[level] == "in" or missing, result
    assert "root" in lines["C"], result


def open_scratch():
    return open_sandbox("none", trust=True).scratch()


def test_filter_numbers_agree_with_the_systems_headers():
    """The tables against the kernel headers of this machine, where they are installed."""
    headers = {
        0: ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"],
        1: ["/usr/include/asm-generic/unistd.h"],
    }
    compared = 0
    for column, paths in headers.items():
        path = next((path for path in paths if os.path.exists(path)), None)
        if path is None:
            continue
        lines = [line.split() for line in Path(path).read_text().splitlines() if line.startswith("#define __NR")]
        known = {
            f[1].removeprefix("__NR3264_").removeprefix("__NR_"): int(f[2])
            for f in lines
            if len(f) == 3 and f[2].isdigit()
        }
        for table in (seccomp.NUMBERS, seccomp.CHECKED, seccomp.MUTED):
            for name, numbers in table.items():
                if name in known:
                    assert numbers[column] == known[name], (name, path)
                    compared += 1
    if not compared:
        pytest.skip("no kernel headers are installed")


def test_limits_must_be_positive():
    with pytest.raises(ValueError, match="memory"):
        dataclasses.replace(LIMITS, memory=0)


def test_the_log_is_valid_and_bounded():
    log = watch.Log(100)
    log.add(b"first\n" + b"x" * 10_000 + b"\nlast\n")
    text = log.text()
    assert text.startswith("first\n") and text.endswith("\nlast\n") and "bytes left out" in text and len(text) < 200
    log = watch.Log(1000)
    log.add(
        "1%\r50%\r100%\n\x1b[31mred\x1b[0m \x00\x07 \u202eevil <b> \udcff".encode("utf-8", "surrogateescape")
        + b"\xff\xfe\r\n"
    )
    assert log.text() == "100%\nred \ufffd\ufffd \ufffdevil <b> \ufffd\ufffd\ufffd\n"


# Reading what a job left behind


def test_read_output(tmp_path):
    (tmp_path / "good").write_bytes(b"the/D\n")
    assert read_output(tmp_path, "good", 6) == b"the/D\n"
    (tmp_path / "link").symlink_to(tmp_path / "good")
    os.link(tmp_path / "good", tmp_path / "hard")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    (tmp_path / "large").write_bytes(b"x" * 11)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("link", "hard", "good", "fifo", "folder", "socket", "large", "dangling"):
        with pytest.raises(StudentFault) as caught:
            read_output(tmp_path, name, 10)
        assert caught.value.verdict == "bad_output" and name in caught.value.message
    with pytest.raises(StudentFault) as caught:
        read_output(tmp_path, "nothing", 10)
    assert caught.value.verdict == "missing_file"
    (tmp_path / "elsewhere").symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "inner").write_bytes(b"x")
    with pytest.raises(StudentFault):
        read_output(tmp_path / "elsewhere", "inner", 10)
    for name in ("../good", "/etc/passwd", "..", "", "a\0b"):
        with pytest.raises(ValueError):
            read_output(tmp_path, name, 10)


def test_trees_of_any_depth_are_removed(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import os\nfor i in range(1300):\n os.mkdir('d')\n open('f', 'w').close()\n os.chdir('d')",
        ],
        cwd=top,
        check=True,
    )
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("x")
    (top / "link").symlink_to(outside)
    users.remove(str(top))
    assert not top.exists() and (outside / "keep").read_text() == "x"
