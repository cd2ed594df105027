"""The leaderboard without its pages: the order, the Ladder, intervals, what is taken, the store, handles, and the
command line. (The pages and the web application: test_leaderboard_pages.py.)"""

from __future__ import annotations

import itertools
import json
import math
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grader.__main__ import main  # noqa: E402
from grader.errors import UsageError  # noqa: E402
from grader.leaderboard import board as boards  # noqa: E402
from grader.leaderboard.handles import Key, LinkError, private_secret  # noqa: E402
from grader.leaderboard.intake import Refused, parse_result, read_result  # noqa: E402
from grader.leaderboard.intervals import accuracy_interval, gap_interval  # noqa: E402
from grader.leaderboard.ladder import Attempt, ladder  # noqa: E402
from grader.leaderboard.order import DAY, Place, Policy, Run, order, statuses  # noqa: E402
from grader.leaderboard.store import Store, create  # noqa: E402

from fake_results import SETS, START, result, write  # noqa: E402

HOUR = timedelta(hours=1)
SENTENCES = 40


def run(number: int, handle: str, hours: float, score: float | None, **more: object) -> Run:
    return Run(number, handle, START + hours * HOUR, score, **more)


def table(places: list[Place]) -> list[tuple[int | None, str, float]]:
    return [(place.rank, place.run.handle, place.shown) for place in places]


# The order


def test_what_is_never_listed():
    runs = [
        run(1, "nan", 1, math.nan), run(2, "infinite", 1, math.inf), run(3, "missing", 1, None),
        run(4, "removed", 1, 0.99, removed=True), run(5, "late", 31, 0.98), run(6, "good", 1, 0.9),
        run(7, "majority", 0, 0.8, baseline=True), run(8, "reference", 0, math.nan, baseline=True),
    ]  # fmt: skip
    policy = Policy(deadline=START + 30 * HOUR)
    assert table(order(runs, policy)) == [(1, "good", 0.9), (None, "majority", 0.8)]
    assert list(statuses(runs, policy).values()).count("no score") == 3
    assert statuses(runs, policy)[5] == "late" and statuses(runs, policy)[4] == "removed"


def test_a_run_at_the_deadline_is_in_time():
    assert table(order([run(1, "a", 30, 0.5)], Policy(deadline=START + 30 * HOUR))) == [(1, "a", 0.5)]


def test_who_is_within_the_band_shares_a_rank_and_the_earlier_submission_comes_first():
    runs = [
        run(1, "a", 3, 0.950),
        run(2, "b", 2, 0.948),
        run(3, "c", 1, 0.944),
        run(4, "d", 9, 0.942),
        run(5, "e", 0, 0.9),
    ]
    assert table(order(runs, Policy(band=0.004))) == [
        (1, "b", 0.948), (1, "a", 0.950), (3, "c", 0.944), (3, "d", 0.942), (5, "e", 0.9),
    ]  # fmt: skip


def test_equal_scores_at_the_same_time_go_by_handle():
    assert [p.run.handle for p in order([run(2, "b", 0, 0.9), run(1, "c", 0, 0.9), run(3, "a", 0, 0.9)], Policy())] == [
        "a", "b", "c",
    ]  # fmt: skip


def test_best_and_last():
    runs = [run(1, "a", 0, 0.9), run(2, "a", 1, 0.95), run(3, "a", 2, 0.95), run(4, "a", 3, 0.8)]
    assert order(runs, Policy("best"))[0].run.id == 2  # the earlier of two equal ones
    assert order(runs, Policy("last"))[0].run.id == 4
    assert order(runs, Policy("best"))[0].tries == 4


def test_the_limit_counts_scored_runs_by_their_time_of_submission():
    hours = {1: 0, 2: 1, 3: 2, 4: 23.9, 5: 24, 6: 24.5}
    runs = [run(number, "a", hour, 0.9 + number / 100) for number, hour in hours.items()]
    over = lambda runs: [
        number for number, status in statuses(runs, Policy(limit=2)).items() if status == "over the limit"
    ]
    assert over(runs) == [3, 4, 6]  # 5 comes 24 hours after 1, 6 less than that after 2
    failed = run(2, "a", 1, None)
    assert over([runs[0], failed, *runs[2:]]) == [4, 6]  # a run that failed uses up nothing: 3 counts
    taken_off = run(2, "a", 1, 0.9, removed=True)
    assert over([runs[0], taken_off, *runs[2:]]) == [3, 4, 6]  # a removed one does


def test_a_baseline_has_no_rank_and_takes_none():
    runs = [run(1, "a", 0, 0.95), run(2, "b", 0, 0.9), run(3, "reference", -9, 0.95, baseline=True)]
    runs += [run(4, "majority", -9, 0.88, baseline=True), run(5, "majority", -8, 0.89, baseline=True)]
    assert table(order(runs, Policy(limit=1, deadline=START - 20 * HOUR, band=0.001)))[0] == (None, "reference", 0.95)
    assert table(order(runs, Policy(limit=1))) == [
        (1, "a", 0.95), (None, "reference", 0.95), (2, "b", 0.9), (None, "majority", 0.89),
    ]  # fmt: skip


RUNS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.integers(0, 60),
        st.one_of(st.none(), st.sampled_from([math.nan, math.inf, 0.9, 0.902, 0.904, 0.95]), st.floats(0, 1)),
        st.booleans(), st.sampled_from([False, False, False, True]),
    ),
    max_size=14,
).map(
    lambda rows: [
        run(n, "X" * baseline + handle, hours, score, removed=removed and not baseline, baseline=baseline)
        for n, (handle, hours, score, removed, baseline) in enumerate(rows)
    ]
)  # fmt: skip
POLICIES = st.builds(
    Policy, st.sampled_from(["best", "last"]), st.sampled_from([None, 1, 2, 3]),
    st.sampled_from([None, START + 40 * HOUR]), st.none(), st.sampled_from([0.0, 0.003, 0.1]),
)  # fmt: skip


@settings(max_examples=60)
@given(RUNS, POLICIES, st.randoms())
def test_the_order_is_total_and_does_not_depend_on_that_of_the_runs(
    runs: list[Run], policy: Policy, choose: random.Random
):
    places, mixed = order(runs, policy), list(runs)
    choose.shuffle(mixed)
    assert order(mixed, policy) == places
    assert len({place.run.handle for place in places}) == len(places)
    assert all(math.isfinite(place.shown) for place in places)
    status = statuses(runs, policy)
    assert {p.run.handle for p in places if p.rank} == {r.handle for r in runs if status[r.id] == "counted"}
    assert {p.run.handle for p in places if not p.rank} == {r.handle for r in runs if r.baseline and r.scored}


@settings(max_examples=60)
@given(RUNS, POLICIES)
def test_ranks_by_their_definition(runs: list[Run], policy: Policy):
    places = [place for place in order(runs, policy) if place.rank]
    of_rank = {rank: list(group) for rank, group in itertools.groupby(places, key=lambda place: place.rank)}
    assert len(of_rank) == len({place.rank for place in places}), "a rank stands in one block"
    above = 0
    for rank, group in of_rank.items():
        assert rank == above + 1
        anchor = max(place.shown for place in group)
        assert all(place.shown >= anchor - policy.band - 1e-8 for place in group)
        assert all(place.shown < anchor - policy.band for place in places[above + len(group) :])
        assert group == sorted(group, key=lambda place: (place.run.submitted, place.run.handle))
        above += len(group)


@settings(max_examples=60)
@given(RUNS, POLICIES)
def test_the_limit_by_its_definition(runs: list[Run], policy: Policy):
    status = statuses(runs, policy)
    used = [r for r in runs if not r.baseline and status[r.id] in ("counted", "removed")]
    for r in runs:
        if r.baseline or not r.scored or status[r.id] == "late" or policy.limit is None:
            continue
        before = [
            u for u in used
            if u.handle == r.handle and (u.submitted, u.id) < (r.submitted, r.id) and r.submitted - u.submitted < DAY
        ]  # fmt: skip
        assert (len(before) >= policy.limit) == (status[r.id] == "over the limit")


# The Ladder


def literal_ladder(losses: list[list[int]], eta: Fraction | None) -> list[float]:
    """Blum and Hardt 2015, in their terms: losses of n items, the parameter-free version where there is no eta."""
    shown, best = None, None
    history = []
    for vector in losses:
        n = len(vector)
        loss = Fraction(sum(vector), n)
        step = Fraction(1, n) if eta is None else eta
        if shown is None:
            bar = None
        elif eta is None:
            bar = statistics.stdev(a - b for a, b in zip(vector, best)) / math.sqrt(n)
        else:
            bar = eta
        if bar is None or float(loss) < float(shown) - float(bar) - 1e-12:
            shown, best = 1 - round((1 - loss) / step) * step, vector
        history.append(float(1 - shown))
    return history


@given(st.data(), st.sampled_from([None, Fraction(1, 50), Fraction(1, 7)]))
def test_the_ladder_by_its_definition(data: st.DataObject, eta: Fraction | None):
    n = data.draw(st.integers(2, 30))
    losses = data.draw(st.lists(st.lists(st.integers(0, 1), min_size=n, max_size=n), min_size=1, max_size=8))
    attempts = [Attempt(1 - sum(v) / n, 1 - np.array(v), np.ones(n)) for v in losses]
    found = ladder(attempts, None if eta is None else float(eta))
    assert [value for value, _ in found] == pytest.approx(literal_ladder(losses, eta), abs=1e-9)
    for number, (_, setter) in enumerate(found):
        assert setter == number or (found[number] == found[number - 1] and setter < number)


def test_the_ladder_shows_a_gain_and_hides_a_twiddle():
    chance = np.random.default_rng(0)
    tokens = chance.integers(5, 30, 200)
    base = chance.binomial(tokens, 0.8)
    twiddled, better = base.copy(), np.minimum(base + (chance.random(200) < 0.5), tokens)
    twiddled[0] = max(0, base[0] - 1)
    twiddled[1] = min(tokens[1], base[1] + 2)
    shown = ladder([Attempt(c.sum() / tokens.sum(), c, tokens) for c in (base, twiddled, better)])
    assert [setter for _, setter in shown] == [0, 0, 2]


def test_voting_of_blind_tries_does_not_climb_the_ladder():
    """The attack of the paper: random answers to 1,000 yes-or-no items; those that the board likes better vote."""
    chance = np.random.default_rng(1)
    tries = chance.integers(0, 2, (200, 1000))  # 1 where the answer is right
    steps = ladder([Attempt(vector.mean(), vector, np.ones(1000)) for vector in tries])
    voted = lambda liked: (np.mean(liked, axis=0) > 0.5).mean()
    assert voted([vector if vector.mean() > 0.5 else 1 - vector for vector in tries]) > 0.62
    assert voted(tries[sorted({setter for _, setter in steps})]) < 0.58


def test_a_ladder_on_the_board():
    chance = np.random.default_rng(2)
    tokens = np.full(300, 20)
    good, same, worse = (chance.binomial(tokens, p) for p in (0.9, 0.9, 0.7))
    runs = [
        run(n, "a", n, c.sum() / tokens.sum(), correct=c, tokens=tokens)
        for n, c in enumerate((worse, good, same, worse))
    ]
    (place,) = order(runs, Policy(ladder="paired"))
    assert place.run.id == 1 and place.shown == pytest.approx(runs[1].score, abs=1 / tokens.sum())
    assert order(runs, Policy(ladder=0.05))[0].shown == pytest.approx(0.9)


# Intervals


def test_the_interval_is_that_of_a_slow_bootstrap():
    chance = random.Random(0)
    tokens = [chance.randint(1, 30) for _ in range(150)]
    correct = [sum(chance.random() < (0.9 if n % 3 else 0.7) for _ in range(n)) for n in tokens]
    found = accuracy_interval(np.array(correct), np.array(tokens))
    values = []
    for _ in range(6000):
        drawn = chance.choices(range(150), k=150)
        values.append(sum(correct[i] for i in drawn) / sum(tokens[i] for i in drawn))
    cuts = statistics.quantiles(values, n=40)
    assert found.low == pytest.approx(cuts[0], abs=0.003) and found.high == pytest.approx(cuts[-1], abs=0.003)
    assert found == accuracy_interval(np.array(correct), np.array(tokens)), "seeded"
    moved = accuracy_interval(np.array(correct), np.array(tokens), score=sum(correct) / sum(tokens) + 0.01)
    assert moved.low == pytest.approx(found.low + 0.01)


def test_sentences_that_stand_or_fall_as_one_have_a_wider_interval_than_their_tokens():
    tokens, right = np.full(100, 10), np.repeat([1, 0], 50)
    of_sentences = accuracy_interval(right * 10, tokens)
    of_tokens = accuracy_interval(np.repeat(right, 10), np.ones(1000))
    ratio = (of_sentences.high - of_sentences.low) / (of_tokens.high - of_tokens.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.1)


def test_a_gap_of_paired_sets_is_drawn_on_the_same_sentences():
    tokens = np.full(80, 10)
    one = np.random.default_rng(0).binomial(tokens, 0.8)
    assert gap_interval((one, tokens), (one, tokens), 0.0, paired=True) == (0, 0)
    low, high = gap_interval((one, tokens), (one, tokens), 0.0, paired=False)
    expected = 2 * 2.576 * math.sqrt(2) * np.std(one / 10, ddof=1) / math.sqrt(80)
    assert high - low == pytest.approx(expected, rel=0.1)


# What is taken


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"verdict": "grader_error"}, "fault of the grader"),
        ({"verdict": "sandbox_unavailable"}, "fault of the grader"),
        ({"sandbox": {"level": "none"}}, "sandbox of level"),
        ({"profile": "quick"}, "quick"),
        ({"finished": None}, "not finished"),
        ({"score": None}, "not finished"),
        ({"stages": []}, "not of a model that the grader trained"),
        ({"stages": [{"kind": "training", "verdict": "crash", "points": 0.0}]}, "not of a model"),
    ],
)
def test_what_is_refused(changes: dict[str, object], reason: str):
    with pytest.raises(Refused, match=reason):
        parse_result(result(**changes))


def test_a_result_of_which_one_seed_was_trained_is_taken():
    stage = {"kind": "training", "verdict": "timeout", "points": 10.0}
    assert parse_result(result(stages=[stage])).scores.keys() == set(SETS)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("[1, 2", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "format"),
        ('{"format": 2}', "format"),
        ('{"format": 1}', "'verdict' is missing"),
        (json.dumps(result() | {"submitted_at": "2026-11-30T10:00:00"}), "time zone"),
        (json.dumps(result() | {"files": {}}), "'sha256' is missing"),
    ],
)
def test_what_is_no_result_of_the_grader(tmp_path: Path, text: str, problem: str):
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=problem) as error:
        read_result(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change", [{"correct_by_sentence": [5]}, {"correct_by_sentence": [99] * 640}, {"accuracy": {"all": 1.5}}]
)
def test_scores_that_make_no_sense(change: dict[str, object]):
    bad = result()
    bad["scores"]["endev"] |= change
    with pytest.raises(ValueError, match="endev"):
        parse_result(bad)


def test_nan_in_a_file_is_a_missing_score(tmp_path: Path):
    data = result()
    data["scores"]["endev"]["accuracy"]["all"] = math.nan
    assert read_result(write(tmp_path, data)).scores["endev"].accuracy["all"] is None


# The store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    create(tmp_path / "b.sqlite")
    with Store(tmp_path / "b.sqlite") as opened:
        yield opened


def put(store: Store, handle: str = "aaaa-aaaa", baseline: bool = False, **made: object) -> tuple[int, bool]:
    parsed = parse_result(result(sentences=SENTENCES, **made))
    return store.add(parsed, handle, baseline, parsed.submitted)


def test_the_same_result_twice_is_one_row(store: Store):
    assert put(store) == (1, True)
    assert put(store) == (1, False)
    assert put(store, number=1) == (2, True)
    assert put(store, handle="bbbb-bbbb") == (3, True), "the same files of another student"
    assert [s.id for s in store.submissions()] == [1, 2, 3]


def test_a_regrade_is_another_result_of_the_same_submission(store: Store):
    put(store)
    later = (START + 90 * HOUR).isoformat()
    assert put(store, accuracy=None, key="another grader", started=later, finished=later) == (1, True)
    (submission,) = store.submissions()
    assert (submission.verdict, submission.scores) == ("crash", {})
    assert submission.submitted == START


def test_a_submission_of_an_unknown_time_is_that_of_the_same_files(store: Store):
    told, untold = (
        parse_result(result(sentences=SENTENCES)),
        result(sentences=SENTENCES, submitted_at=None, key="other"),
    )
    assert store.add(told, "aaaa-aaaa", False, told.submitted) == (1, True)
    assert store.add(parse_result(untold), "aaaa-aaaa", False, None) == (1, True)
    assert store.add(parse_result(untold), "bbbb-bbbb", False, None) == (2, True)
    assert store.submissions("bbbb-bbbb")[0].submitted == parse_result(untold).started


def test_scores_come_back_as_they_were(store: Store):
    data = parse_result(result(accuracy={"endev": 0.95, "entest": 0.9, "twin": 0.85}, sentences=SENTENCES))
    store.add(data, "aaaa-aaaa", False, data.submitted)
    (submission,) = store.submissions()
    for name in SETS:
        assert submission.scores[name].accuracy == data.scores[name].accuracy
        assert np.array_equal(store.correct(name)[submission.result], data.scores[name].correct)
    assert store.body(submission.result)["confusion"]["endev"] == data.scores["endev"].confusion


def test_other_sentences_and_other_assignments_do_not_mix(store: Store):
    put(store)
    with pytest.raises(Refused, match="this board is of neuralization"):
        put(store, number=1, assignment="another")
    longer = parse_result(result(number=2, sentences=SENTENCES + 1))
    with pytest.raises(Refused, match="other sentences"):
        store.add(longer, "aaaa-aaaa", False, longer.submitted)
    assert len(store.submissions()) == 1, "nothing of a refused result stays"


def test_a_file_that_is_no_board(tmp_path: Path):
    (tmp_path / "text").write_text("no database " * 100)
    sqlite3.connect(tmp_path / "other").execute("CREATE TABLE t (x)").connection.close()
    create(tmp_path / "newer")
    sqlite3.connect(tmp_path / "newer").execute("PRAGMA user_version = 99").connection.close()
    for name, problem in (
        ("text", "not a database"),
        ("other", "not a leaderboard"),
        ("newer", "99"),
        ("none", "unable"),
    ):
        with pytest.raises(UsageError, match=problem):
            Store(tmp_path / name)


ADDER = """
import sys; sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from fake_results import result
from grader.leaderboard.intake import parse_result
from grader.leaderboard.store import Store, create
create(Path({path!r}))
store = Store(Path({path!r}))
for number in range({start}, {stop}):
    data = parse_result(result(number=number, sentences=5))
    print(*store.add(data, "aaaa-aaaa", False, data.submitted), flush=True)
"""


def adder(path: Path, start: int, stop: int) -> subprocess.Popen[str]:
    script = ADDER.format(root=str(ROOT), tests=str(ROOT / "tests"), path=str(path), start=start, stop=stop)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def test_several_processes_add_the_same_results_at_once(tmp_path: Path):
    both = [adder(tmp_path / "b.sqlite", 0, 25) for _ in range(2)]
    lines = [line for process in both for line in process.communicate(timeout=120)[0].splitlines()]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(line.endswith("True") for line in lines) == [False] * 25 + [True] * 25
    with Store(tmp_path / "b.sqlite") as store:
        assert len(store.submissions()) == 25


def test_a_process_killed_at_any_moment_loses_nothing(tmp_path: Path):
    told = 0
    for start, lines in ((0, 3), (1000, 11)):
        process = adder(tmp_path / "b.sqlite", start, start + 1000)
        for _ in range(lines):
            told += process.stdout.readline().endswith("True\n")
        process.send_signal(signal.SIGKILL)
        told += process.communicate()[0].count("True\n")
    with Store(tmp_path / "b.sqlite") as store:
        kept = store.submissions()
    assert told <= len(kept) <= told + 2, "at most the one that was not yet told is there besides"
    assert all(s.scores.keys() == set(SETS) for s in kept), "none is there by half"
    assert sqlite3.connect(tmp_path / "b.sqlite").execute("PRAGMA integrity_check").fetchone() == ("ok",)


# Handles and links


def test_handles_are_stable_and_of_the_key():
    one, other = Key(b"1" * 32), Key(b"2" * 32)
    assert one.handle("Zoë ") == one.handle("zoe\u0308") != other.handle("zoë")
    handles = {one.handle(f"student {n}") for n in range(2000)}
    assert len(handles) == 2000 and all(len(h) == 9 and h[4] == "-" for h in handles)


def test_a_link_is_good_until_its_end_and_for_its_handle():
    key = Key(b"1" * 32)
    link = key.link("aaaa-aaaa", 1000)
    assert key.handle_of_link(link, 999.9) == "aaaa-aaaa"
    with pytest.raises(LinkError, match="expired"):
        key.handle_of_link(link, 1000)
    handle, end, signature = link.split(".")
    forged = [
        f"bbbb-bbbb.{end}.{signature}", f"{handle}.9000.{signature}", f"{handle}.-5.{signature}", "", "a.b.c",
        f"{handle}.{end}.{signature[:-1]}", f"{handle}.{end}.", f"{handle}.{end}", f"{handle}.{end}.\ud800é",
        f"{handle}.{'9' * 400}.x", Key(b"2" * 32).link("aaaa-aaaa", 1000),
    ]  # fmt: skip
    for wrong in forged:
        with pytest.raises(LinkError):
            key.handle_of_link(wrong, 0)


def test_the_key_is_a_private_file(tmp_path: Path):
    path = tmp_path / "deep" / "key"
    assert private_secret(path) == private_secret(path) != private_secret(tmp_path / "other")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        private_secret(path)
    path.chmod(0o600)
    path.write_text("abc\n")
    with pytest.raises(UsageError, match="holds no key"):
        private_secret(path)


# The command line


Call = Callable[..., str]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """`python -m grader leaderboard ...`; gives what it prints, and checks its exit status."""
    monkeypatch.setenv("NEURALIZATION_BOARD", str(tmp_path / "board"))

    def called(*arguments: object, status: int = 0) -> str:
        capsys.readouterr()
        try:
            found = main(["leaderboard", *map(str, arguments)])
        except SystemExit as leaving:
            found = leaving.code
        printed = capsys.readouterr()
        assert found == status, printed
        return printed.out + printed.err

    return called


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., Path]:
    """Writes a result into a folder of its own below `tmp_path`/graded."""
    numbers = itertools.count()
    return lambda **made: write(tmp_path / "graded" / f"r{next(numbers)}", result(sentences=SENTENCES, **made))


def test_add_a_folder_twice(call: Call, results: Callable[..., Path], tmp_path: Path):
    results(name="alice.zip"), results(name="bob.tar.gz", number=1), results(name="bob.tar.gz", accuracy=None, number=2)
    assert "3 new" in call("add", tmp_path / "graded")
    assert "3 already there" in call("add", tmp_path / "graded")
    alice, bob = (call("handle", name).strip() for name in ("alice", "bob"))
    listed = call("list")
    assert listed.count(alice) == 1 and listed.count(bob) == 2 and listed.count("no score") == 1


def test_no_name_is_in_the_board(call: Call, results: Callable[..., Path], tmp_path: Path):
    call("add", results(name="alice-xyzzy.zip"))
    assert all(b"xyzzy" not in path.read_bytes() for path in (tmp_path / "board").iterdir())
    assert (tmp_path / "board").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "board").iterdir())


def test_students_by_a_pattern(call: Call, results: Callable[..., Path]):
    path = results(name="alice_late_1234.zip")
    assert call("handle", "alice").strip() in call("add", path, "--student-pattern", "^([^_]+)_")
    assert "finds no student" in call("add", path, "--student-pattern", "^[0-9]+", status=1)
    assert "error" in call("add", path, "--student-pattern", "(", status=2)


def test_partners_are_one_row_with_one_limit_and_one_handle(call: Call, results: Callable[..., Path], tmp_path: Path):
    """Told after some were added, undone by another file, and never by a name in clear."""
    call("settings", "--limit", "1")
    (
        results(name="alice.zip", accuracy=0.9),
        results(name="Bob.zip", number=1, accuracy=0.95),
        results(name="carol.zip", number=2),
    )
    call("add", tmp_path / "graded")
    alone = {name: call("handle", name).strip() for name in ("alice", "bob", "carol")}
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("\ufeffalice, Bob\n\n", encoding="utf-8")
    assert "groups: 1" in call("groups", pairs)
    pair = call("handle", "alice").strip()
    assert call("handle", "bob").strip() == pair and pair not in alone.values()
    assert call("handle", "carol").strip() == alone["carol"]
    listed = call("list")
    assert listed.count(pair) == 2 and listed.count("over the limit") == 1
    assert not any(alone[name] in listed for name in ("alice", "bob"))
    assert f"of {pair}" in call("add", results(name="bob.zip", number=3))
    call("build", "--out", tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert page.count(pair) == 1 and alone["carol"] in page
    assert all(b"alice" not in path.read_bytes().lower() for path in (tmp_path / "board").iterdir())
    pairs.write_text("bob,alice")
    call("groups", pairs)
    assert call("handle", "alice").strip() == pair, "whoever is named first"
    pairs.write_text("")
    call("groups", pairs)
    assert alone["alice"] in call("list")


@pytest.mark.parametrize("text, problem", [
    ("alice, bob\ncarol\n", "pairs.txt:2: a group has two names"),
    ("alice, bob\ncarol, ALICE\n", "pairs.txt:2: a name is there twice"),
    ("alice, alice\n", "pairs.txt:1: a name is there twice"),
])  # fmt: skip
def test_groups_that_cannot_be(call: Call, tmp_path: Path, text: str, problem: str):
    (tmp_path / "pairs.txt").write_text(text)
    assert problem in call("groups", tmp_path / "pairs.txt", status=2)
    assert "no board yet" in call("list", status=2), "nothing was made"


def test_groups_stay_once_the_board_is_closed(store: Store):
    put(store, handle="aaaa-aaaa"), put(store, handle="bbbb-bbbb", number=1)
    store.set_groups({"aaaa-aaaa": "cccc-cccc", "bbbb-bbbb": "cccc-cccc"})
    store.set("deadline", (START + 1000 * HOUR).isoformat())
    assert boards.close(store, START + 2000 * HOUR) == 1 and set(store.finals()) == {"cccc-cccc"}
    assert [s.id for s in store.submissions("cccc-cccc")] == [1, 2] and store.submissions("aaaa-aaaa") == []
    with pytest.raises(UsageError, match="closed"):
        store.set_groups({})
    assert store.group_of("aaaa-aaaa") == "cccc-cccc"


def test_refusals_and_files_that_are_no_results_do_not_stop_the_others(
    call: Call, results: Callable[..., Path], tmp_path
):
    results(verdict="grader_error", score=None), results(name="bob", number=1)
    (tmp_path / "graded" / "result.json").write_text("{")
    said = call("add", tmp_path / "graded", status=2)
    assert "1 new, 1 refused, 1 no result" in said and "fault of the grader" in said


def test_a_fault_of_the_grader_changes_nothing(call: Call, results: Callable[..., Path]):
    call("add", results())
    before = call("list")
    call("add", results(verdict="grader_error", score=None, key="later"), status=1)
    assert call("list") == before


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["settings", "--limit", "0"], "limit"),
        (["settings", "--band", "nan"], "band"),
        (["settings", "--ladder", "-1"], "ladder"),
        (["settings", "--rule", "first"], "best, last"),
        (["settings", "--rule", "last", "--ladder", "paired"], "--rule best"),
        (["settings", "--deadline", "2026-11-30T10:00:00"], "time zone"),
        (["settings", "--deadline", "soon"], "no time"),
        (["link", "alice"], "no handle"),
        (["link", "aaaa-aaaa", "--days", "nan"], "--days"),
        (["link", "aaaa-aaaa", "--url", "javascript:x"], "no address"),
        (["add", "nowhere.json"], "nowhere.json: No such file"),
        (["add", "nowhere.json", "--baseline", "oracle"], "majority, handout, reference"),
        (["remove", "7", "--reason", "x"], "no submission 7"),
        (["remove", "7", "--reason", " "], "empty"),
        (["close"], "no deadline"),
        (["serve", "--port", "70000"], "65535"),
    ],
)
def test_bad_input_is_one_line(call: Call, arguments: list[str], problem: str):
    call("settings")
    said = call(*arguments, status=2)
    assert problem in said
    assert said.count("\n") == 1 + ("no result" in said), said  # `add` counts too


def test_no_board_is_made_by_looking(call: Call, tmp_path: Path):
    for arguments in (["list"], ["build", "--out", tmp_path], ["close"], ["link", "aaaa-aaaa"]):
        assert "no board yet" in call(*arguments, status=2)
    assert not (tmp_path / "board").exists()


def test_another_key_is_refused(call: Call, tmp_path: Path):
    call("settings")
    (tmp_path / "board" / "handles.key").unlink()
    assert "not the key of this board" in call("list", status=2)


def test_removed_rows_are_kept_with_their_reasons(call: Call, results: Callable[..., Path], tmp_path: Path):
    call("add", results())
    call("remove", 1, "--reason", "copied from a classmate")
    assert "removed" in call("list")
    call("restore", 1, "--reason", "an error of ours")
    assert "counted" in call("list")
    with Store(tmp_path / "board" / "board.sqlite") as store:
        assert [event[:2] for event in store.events(1)] == [
            ("remove", "copied from a classmate"), ("restore", "an error of ours"),
        ]  # fmt: skip


def test_settings_are_kept(call: Call):
    call("settings", "--limit", "3", "--ladder", "0.2", "--deadline", "2026-11-30T23:59:00-05:00")
    shown = call("settings")
    assert "3" in shown and "2026-11-30T23:59:00-05:00" in shown
    policy = boards.policy_of(dict(line.split() for line in shown.splitlines()))
    assert policy.ladder == pytest.approx(0.002) and policy.limit == 3
    assert policy.deadline == datetime(2026, 12, 1, 4, 59, tzinfo=timezone.utc)


# The private board and the gaps


def test_the_private_board_scores_once_what_stands_on_the_public_one(store: Store):
    put(store, accuracy={"endev": 0.95, "entest": 0.80, "twin": 0.8}, number=0)
    put(store, accuracy={"endev": 0.85, "entest": 0.99, "twin": 0.9}, number=1)  # better on entest, and not chosen
    put(store, "bbbb-bbbb", accuracy=0.9, number=2)
    put(store, "reference", True, accuracy=0.97, number=3)
    store.set("deadline", (START + 50 * HOUR).isoformat())
    with pytest.raises(UsageError, match="waits"):
        boards.close(store, START + 50 * HOUR)
    assert boards.private_board(store) is None
    assert boards.close(store, START + 51 * HOUR) == 2
    private = boards.private_board(store)
    assert [(line.place.rank, line.submission.id) for line in private.lines] == [(None, 4), (1, 3), (2, 1)]
    store.decide(1, "remove", "copied", START)  # now 2 would stand for its handle, but the choice is made
    put(store, "cccc-cccc", accuracy=0.93, number=5)  # graded late, submitted in time
    assert boards.close(store, START + 52 * HOUR) == 1
    assert [line.submission.id for line in boards.private_board(store).lines] == [4, 5, 3]


def test_gaps_beyond_those_of_the_reference_are_flagged(store: Store):
    put(store, accuracy=0.95)
    assert boards.gaps(store, store.submissions()) is None, "there is no reference to judge by"
    reference, _ = put(store, "reference", True, accuracy=0.96, number=1)
    by_heart, _ = put(store, "bbbb-bbbb", accuracy={"endev": 0.9, "entest": 0.999, "twin": 0.9}, number=2)
    failed, _ = put(store, "bbbb-bbbb", accuracy=None, number=3)
    gaps = boards.gaps(store, store.submissions())
    assert [gap.name for gap in gaps[by_heart]] == ["endev - entest", "entest - twin"]
    assert all(gap.gap < gap.interval.low or gap.gap > gap.interval.high for gap in gaps[by_heart])
    assert gaps[reference] == gaps[failed] == []


def test_the_band_is_the_references_interval_and_the_setting_wins(store: Store):
    put(store, accuracy=0.99)
    put(store, "reference", True, accuracy=0.9, number=1)
    low, high = store.submissions("reference")[0].scores["endev"].interval
    assert boards.public_board(store).policy.band == pytest.approx((high - low) / 2)
    store.set("band", "0.25")
    assert boards.public_board(store).policy.band == 0.0025


def test_a_ladder_masks_what_the_owner_sees(store: Store):
    for number, accuracy in enumerate((0.9, 0.7, 0.97)):
        put(store, accuracy=accuracy, number=number)
    store.set("ladder", "paired")
    seen = [point.score for point in boards.history(store, "aaaa-aaaa", masked=True)]
    assert seen[0] == seen[1] < seen[2]
    assert boards.history(store, "aaaa-aaaa", masked=False)[1].score < seen[0]
