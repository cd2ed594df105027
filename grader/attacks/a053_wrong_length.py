"""A tag too few, lines too many, empty lines, unknown tags. Held: never cut to the shorter; the line is named."""

from grader.errors import StudentFault
from grader.scoring import Vocabulary, as_input, read_gold, read_tagging, score

VERDICT = ("bad_output",)
ONCE = True


def attack(case):
    gold = read_gold(case.gold)
    good = [" ".join(f"{word}/{tag}" for word, tag in zip(s.words, s.tags)) for s in gold]
    bad = {
        "a tag too few": [*good[:4], good[4].rsplit(" ", 1)[0], *good[5:]],
        "a line too few": good[:-1],
        "a line too many": [*good, good[0]],
        "an empty line": [*good[:4], "", *good[4:]],
        "a word without a tag": [good[0].replace("/", " ", 1), *good[1:]],
        "another word": ["x" + good[0], *good[1:]],
        "lines exchanged": [good[1], good[0], *good[2:]],
    }
    for name, lines in bad.items():
        try:
            read_tagging("\n".join(lines).encode(), gold)
        except StudentFault as fault:
            case.held(fault.verdict == "bad_output" and "line" in fault.message, f"{name}: {fault.message}")
        else:
            case.held(False, f"{name}: accepted")
    unknown = read_tagging(as_input(gold, "ZZ"), gold)
    case.held(score(gold, unknown, Vocabulary(gold))["accuracy"]["all"] == 0, "unknown tags count")
    return "bad_output", f"{', '.join(bad)}; unknown tags are wrong"
