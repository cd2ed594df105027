"""Ships the test set's tags, by sentence. Held: the twin set tells, and a human is called."""

from grader.attacks.case import after_tagging

VERDICT = ("ok",)


def memory(case):
    """Tags of each test sentence, by its words."""
    found = {}
    for line in case.gold.read_text().splitlines():
        tokens = [token.rpartition("/") for token in line.split()]
        found[" ".join(word for word, _, _ in tokens)] = [tag for _, _, tag in tokens]
    return found


def attack(case):
    code = after_tagging(f"""
        memory = {memory(case)!r}
        own = open(OUT).read().splitlines()
        with open(OUT, "w") as file:
            for words, line in zip(open(sys.argv[1]).read().splitlines(), own):
                known = memory.get(words)
                print(" ".join(map("/".join, zip(words.split(), known))) if known else line, file=file)
    """)
    result = case.grade({"code/tag.py": code})
    test, twin = case.accuracy(result), case.accuracy(result, "twin")
    case.held(test > 0.99, f"the attack did not work: {test}")
    case.held(test - twin > 0.1 and any("memorised" in flag for flag in result["flags"]), f"{twin} {result['flags']}")
    return result["verdict"], f"test set {test:.1%}, twin set {twin:.1%}: flagged for a human"
