"""Scores from taggings: what counts, what is refused, and the twin set."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from grader import scoring
from grader.assignment import Rubric, load_assignment
from grader.errors import GraderFault, StudentFault
from grader.results import PACKAGE, ROOT
from grader.scoring import Tagged
from hypothesis import given
from hypothesis import strategies as st

GOLD = [
    Tagged(("The", "dog", "runs"), ("D", "N", "V")),
    Tagged(("zebra",), ("N",)),
    Tagged(("1/2", "dogs"), ("J", "N")),
]
TRAINING = [Tagged(("the", "dog"), ("D", "N")), Tagged(("runs", "dog"), ("V", "N"))]


def vocabulary(tmp_path: Path) -> scoring.Vocabulary:
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("4 1\ndogs\t1\nOOL\t0\nBOS\t0\nEOS\t0\n")
    return scoring.Vocabulary(TRAINING, [lexicon])


def test_known_seen_and_novel_by_hand(tmp_path: Path) -> None:
    words = vocabulary(tmp_path)
    found = {word: words.category(word) for word in ("The", "dog", "Dogs", "zebra", "OOL", "BOS")}
    assert found == dict(The="known", dog="known", Dogs="seen", zebra="novel", OOL="novel", BOS="novel")


def test_score_by_hand(tmp_path: Path) -> None:
    found = scoring.score(GOLD, [("D", "N", "N"), ("N",), ("X", "N")], vocabulary(tmp_path))
    assert found["accuracy"] == {"all": 4 / 6, "known": 2 / 3, "seen": 1.0, "novel": 1 / 2}
    assert found["correct_by_sentence"] == [2, 1, 1] and found["tokens_by_sentence"] == [3, 1, 2]
    assert found["confusion"] == {"D": {"D": 1}, "J": {scoring.OTHER: 1}, "N": {"N": 3}, "V": {"N": 1}}


def test_a_tag_of_the_submissions_own_never_reaches_the_result(tmp_path: Path) -> None:
    evil = "<script>"
    assert evil not in str(scoring.score(GOLD, [(evil,) * len(s) for s in GOLD], vocabulary(tmp_path)))


def output(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


RIGHT = ["The/D dog/N runs/V", "zebra/N", "1&slash;2/J dogs/N"]


@pytest.mark.parametrize("data", [
    output(RIGHT), output(RIGHT)[:-1], output(RIGHT).replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + output(RIGHT),
    output([*RIGHT, "", " "]), output([line + " " for line in RIGHT]), output(RIGHT).replace(b"&slash;", b"/"),
])  # fmt: skip
def test_outputs_that_are_taken(data: bytes) -> None:
    assert scoring.read_tagging(data, GOLD) == [sentence.tags for sentence in GOLD]


@pytest.mark.parametrize("lines, place", [
    (["The/D dog/N", *RIGHT[1:]], "line 1: 2 tokens where 3"),
    (RIGHT[:2], "line 3: 2 lines where 3"),
    ([*RIGHT, "more/N"], "line 4: 4 lines where 3"),
    ([RIGHT[1], RIGHT[0], RIGHT[2]], "line 1: 1 tokens"),
    (["The/D dog/N runs/V", "horse/N", RIGHT[2]], "line 2, token 1: not the word"),
    (["The/D dog runs/V", *RIGHT[1:]], "line 1, token 2: no tag"),
    (["The/D dog/ runs/V", *RIGHT[1:]], "line 1, token 2: no tag"),
    (["The/D  dog/N runs/V", *RIGHT[1:]], "line 1: 4 tokens"),
    ([], "line 1: 0 lines"),
    (["", *RIGHT], "line 1: 1 tokens where 3"),
])  # fmt: skip
def test_outputs_that_do_not_align(lines: list[str], place: str) -> None:
    with pytest.raises(StudentFault) as refused:
        scoring.read_tagging(output(lines), GOLD)
    assert refused.value.verdict == "bad_output" and place in refused.value.message
    assert "dog" not in refused.value.message and "horse" not in refused.value.message


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(StudentFault, match="line 2: not UTF-8"):
        scoring.read_tagging(b"The/D dog/N runs/V\nzebra/\xff\n", GOLD)


def test_the_input_has_no_tags() -> None:
    assert scoring.as_input(GOLD) == b"The dog runs\nzebra\n1&slash;2 dogs\n"
    assert scoring.as_input(GOLD, dummy_tag="N") == b"The/N dog/N runs/N\nzebra/N\n1&slash;2/N dogs/N\n"
    assert len(output(RIGHT)) <= scoring.largest_output(GOLD)


@given(st.lists(st.lists(st.tuples(st.text("ab/&", min_size=1), st.text("XY/", min_size=1)), min_size=1), min_size=1))
def test_any_words_and_tags_come_back(tokens: list[list[tuple[str, str]]]) -> None:
    sentences = [Tagged(*zip(*line)) for line in tokens]
    lines = [" ".join(f"{scoring.escape(w)}/{scoring.escape(t)}" for w, t in zip(s.words, s.tags)) for s in sentences]
    assert scoring.read_tagging(output(lines), sentences) == [sentence.tags for sentence in sentences]


@pytest.mark.parametrize("text", ["", "\n", "the/D dog\n", "the/\n"])
def test_a_broken_gold_file_is_the_graders_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "gold").write_text(text)
    with pytest.raises(GraderFault, match="gold"):
        scoring.read_gold(tmp_path / "gold")


def test_seeds_without_a_tagging_count_as_nothing_right(tmp_path: Path) -> None:
    right = scoring.score(GOLD, [sentence.tags for sentence in GOLD], vocabulary(tmp_path))
    found = scoring.over_seeds({0: right, 1: None})
    assert found["accuracy"] == dict(all=0.5, known=0.5, seen=0.5, novel=0.5)
    assert [each["accuracy"] is None for each in found["per_seed"]] == [False, True]
    assert scoring.over_seeds({0: None}) is None


def test_the_interval_is_that_of_resampled_sentences() -> None:
    """Of 400 sentences of 10 tokens, right to 80 % each on its own: close to the normal interval."""
    draw = np.random.default_rng(1)
    correct = draw.binomial(10, 0.8, size=400)
    low, high = scoring.interval(correct.tolist(), [10] * 400)
    half = 1.96 * correct.std() / 10 / 400**0.5
    np.testing.assert_allclose([low, high], [correct.mean() / 10 - half, correct.mean() / 10 + half], atol=0.15 * half)
    assert (low, high) == scoring.interval(correct.tolist(), [10] * 400)


def test_majority_by_hand() -> None:
    training = [Tagged(("a", "b", "a", "c"), ("X", "Y", "X", "Y")), Tagged(("a", "d"), ("Y", "Y"))]
    assert scoring.majority(training, [Tagged(("a", "b", "new"), ("X",) * 3)]) == [("X", "Y", "Y")]


@pytest.mark.parametrize("corpus, path", [("endev", ROOT / "data"), ("entest", PACKAGE / "data")])
@pytest.mark.parametrize("assignment", ["neuralization", "neuralization-flags"])
def test_the_majority_baseline_is_what_the_assignment_says(assignment: str, corpus: str, path: Path) -> None:
    gold, training = scoring.read_gold(path / corpus), scoring.read_gold(ROOT / "data" / "ensup")
    found = scoring.majority(training, gold)
    right = sum(a == b for sentence, tags in zip(gold, found) for a, b in zip(sentence.tags, tags))
    accuracy = right / sum(map(len, gold))
    stated = load_assignment(assignment)
    assert stated.baselines[f"majority_{corpus}"] == pytest.approx(accuracy, abs=5e-5)
    if assignment == "neuralization":
        assert all(profile.rubrics["tagging"].share(accuracy) == 0 for profile in stated.profiles.values())


# The twin set


def test_the_twin_set_has_other_words_of_the_same_kind() -> None:
    gold, training = scoring.read_gold(PACKAGE / "data" / "entest"), scoring.read_gold(ROOT / "data" / "ensup")
    made = scoring.twin(gold, training, 0.1, seed=3)
    assert [s.tags for s in made] == [s.tags for s in gold]
    changed = [
        (old, new, tag) for a, b in zip(gold, made) for old, new, tag in zip(a.words, b.words, a.tags) if old != new
    ]
    assert len(changed) == round(0.1 * sum(map(len, gold)))
    counts = scoring.Vocabulary(training).counts
    with_tag = {(w, t) for s in (*training, *gold) for w, t in zip(s.words, s.tags)}
    for old, new, tag in changed:
        assert (new, tag) in with_tag and scoring.band(counts[old]) == scoring.band(counts[new])
        assert old[0].isupper() == new[0].isupper()
    assert made == scoring.twin(gold, training, 0.1, seed=3) != scoring.twin(gold, training, 0.1, seed=4)


def test_words_without_another_of_their_kind_stay() -> None:
    gold = [Tagged(("a", "b", "C", "d"), ("X", "Y", "X", "Y"))]  # b and d can only change places
    assert {s.words for seed in range(9) for s in scoring.twin(gold, [], 0.5, seed)} == {("a", "d", "C", "b")}
    assert scoring.twin(gold, [], 1.0, seed=0) == [Tagged(("a", "d", "C", "b"), gold[0].tags)]


def test_frequency_bands() -> None:
    assert [scoring.band(count) for count in (0, 1, 2, 3, 4, 7, 8)] == [0, 1, 2, 2, 3, 3, 4]


@given(st.integers(0, 50), st.integers(0, 99))
def test_the_order_is_undone(number: int, seed: int) -> None:
    order = scoring.shuffled(number, seed)
    items = random.Random(seed).sample(range(1000), number)
    assert sorted(order) == list(range(number))
    assert scoring.unshuffled([items[place] for place in order], order) == items


# The rubric


RUBRIC = Rubric(((0.5, 0.0), (0.7, 0.5), (0.9, 1.0)))


@pytest.mark.parametrize("accuracy, share", [
    (0.0, 0), (0.5, 0), (0.6, 0.25), (0.7, 0.5), (0.8, 0.75), (0.9, 1), (1.0, 1), (float("nan"), 0),
])  # fmt: skip
def test_rubric(accuracy: float, share: float) -> None:
    assert RUBRIC.share(accuracy) == pytest.approx(share)
