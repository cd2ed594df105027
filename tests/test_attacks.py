"""The attack suite: every attack of the list is there, what this machine allows is held, the table tells of others.

How many attacks were run, held and not run is printed, whatever the level; without any sandbox none is run, and that is
said.
"""

import json
import re

import pytest
from grader import attacks
from grader.__main__ import main
from grader.attacks.case import Broken, Case, NotRun, course
from grader.errors import GraderFault
from grader.sandbox import Bare, open_sandbox

TORCH = (5, 6, 7, 8, 57)  # seconds each, for the import of torch: `make attacks` runs them


def strictest():
    try:
        return open_sandbox("auto", floor="C")
    except GraderFault as fault:
        return fault.message


def test_every_attack_is_there():
    modules = attacks.load()
    assert sorted(modules) == list(range(1, 67))
    for module in modules.values():
        assert "Held: " in module.__doc__ and module.VERDICT and callable(module.attack)
        assert re.fullmatch(r"[a-z0-9_]+", attacks.title(module))
    assert {attacks.title(modules[n]) for n in (1, 16, 31, 49, 66)} == {
        "forge_results_json", "symlink_output", "double_fork_daemon", "memorised_test", "controls",
    }  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    sandbox = strictest()
    if isinstance(sandbox, str):
        print(f"\nattacks: 0 run, 0 held, 66 not run: {sandbox}")
        pytest.skip(f"no attack was run, there is no sandbox: {sandbox}")
    file = tmp_path_factory.mktemp("attacks") / "table.json"
    numbers = [n for n in attacks.load() if n not in (*TORCH, *attacks.SLOW)]
    status = main(["attacks", "--level", sandbox.name, "--json", str(file), "--only", *map(str, numbers)])
    return status, json.loads(file.read_text())


def test_the_attacks_are_held(table, capsys):
    status, found = table
    with capsys.disabled():
        print(f"\n{attacks.count(found)}; {66 - len(found['attacks'])} more by `make attacks`", end=" ")
    broken = [row for row in found["attacks"] if row["status"] == "broken"]
    assert not broken, broken
    assert status == 0
    assert [row["id"] for row in found["attacks"] if row["status"] == "not_run"] == [48]


def test_the_table_is_plain(table):
    _, found = table
    assert set(found) == {"level", "probes", "attacks"} and found["level"] in ("A", "B", "C")
    assert all(row["closed"] is True for row in found["probes"])
    for row in found["attacks"]:
        assert set(row) == {"id", "name", "status", "verdict", "why"}
        assert row["status"] in ("held", "broken", "not_run") and row["why"]


def test_without_a_sandbox_attacks_are_broken():
    """The attacks are real: with nothing around them they succeed, and the table says so."""
    with course() as assignment:
        case = Case(Bare(), assignment)
        rows = {number: attacks.attack(case, number, attacks.load()[number]) for number in (19, 26, 47)}
    assert {row["status"] for row in rows.values()} == {"broken"}, rows


class Scenario:
    """A stand-in for an attack's module."""

    __name__ = "grader.attacks.a000_scenario"
    VERDICT = ("timeout",)

    def __init__(self, act):
        self.attack = act


def test_statuses():
    def raises(problem):
        def act(case):
            raise problem

        return act

    def row(act):
        return attacks.attack(None, 0, Scenario(act))

    assert row(lambda case: ("timeout", "stopped"))["status"] == "held"
    assert row(lambda case: ("ok", "scored"))["status"] == "broken"
    assert row(raises(Broken("seen")))["status"] == "broken"
    assert row(raises(NotRun("no GPU"))) == {
        "id": 0, "name": "scenario", "status": "not_run", "verdict": None, "why": "no GPU",
    }  # fmt: skip
    assert "ZeroDivisionError" in row(lambda case: 1 / 0)["why"]


def test_the_command(capsys, monkeypatch):
    assert main(["attacks", "--only", "99"]) == 2
    assert "99" in capsys.readouterr().err

    def refuse(*arguments, **more):
        raise GraderFault("sandbox_unavailable", "apt install bubblewrap")

    monkeypatch.setattr(attacks, "open_sandbox", refuse)
    assert main(["attacks", "--level", "all", "--fast"]) == 3
    assert "apt install bubblewrap" in capsys.readouterr().err


def test_other_levels_share_what_meets_no_sandbox(monkeypatch):
    calls = []

    def act(case):
        calls.append(case.sandbox.name)
        return "timeout", "stopped"

    once, always = Scenario(act), Scenario(act)
    once.ONCE = True
    monkeypatch.setattr(attacks, "load", lambda: {1: once, 2: always})
    done = {}
    for _ in range(2):
        found = attacks.run_level(Bare(), [1, 2], done, lambda row: None)
        assert [row["status"] for row in found["attacks"]] == ["held", "held"]
    assert len(calls) == 3
