"""writeup/reading.md: its program prints what stands there, its table has the shapes of the code, every name in it
exists, and its formulas keep to what GitHub renders.
"""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from chain import LinearChain
from corpus import Batch
from decoders import DECODERS, Decoding
from decoders.mean_field import mean_field
from decoders.relaxation import Relaxation
from options import parser

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "writeup" / "reading.md").read_text(encoding="utf-8")
INSTRUCTIONS = (ROOT / "INSTRUCTIONS.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
PROSE = FENCE.sub("", TEXT)
KERNELS = {"chain_fast.py", "crf_neural_fast.py"}  # the students' package has none
INLINE = re.compile(r"\$([^$\n]+)\$")
CLASSES = (
    "chain.LinearChain", "corpus.Batch", "corpus.IntegerizedCorpus", "crf.ConditionalRandomField",
    "crf_neural.ConditionalRandomFieldNeural", "decoders.Decoding", "decoders.relaxation.Relaxation", "hmm.Counts",
    "lexicon.Lexicon", "tagger.Tagger", "word_features.WordFeatures",
)  # fmt: skip


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the page's program leaves behind, after all of its blocks have printed what stands below them."""
    found: dict[str, Any] = {"__name__": "reading"}
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.chdir(ROOT / "code")
        for program, printed in PROGRAM.findall(TEXT):
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile(program, "reading.md", "exec"), found)
            assert out.getvalue() == printed, program
    return found


def test_the_program_prints_what_stands_there(names: dict[str, Any]) -> None:
    assert len(PROGRAM.findall(TEXT)) >= 15 and "LinearChain" in names
    # what is said to be checked is printed as checked
    outputs = "".join(printed for _, printed in PROGRAM.findall(TEXT))
    assert outputs.count("True") >= 12 and "False" not in outputs


# The table of symbols


def rows() -> list[list[str]]:
    """Symbol, meaning, shape, code."""
    section = TEXT.partition("## 1. Symbols")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    assert all(len(row) == 4 for row in cells), "a bar inside of a cell"
    return cells


def sizes(names: dict[str, Any]) -> dict[str, int]:
    """The letters of the table, for the sentence `page`, its model `birnn` and the tag embeddings `low_rank`."""
    birnn, low_rank = names["birnn"], names["low_rank"]
    B, n = names["page"].ids.shape
    return dict(
        B=B, n=n, k=len(birnn.tagset), e=birnn.lexicon.dim, d=birnn.d, V=birnn.lexicon.dim, R=low_rank.Theta_A.shape[1],
        tag_dim=birnn.tag_dim, F_A=len(birnn.theta_A), F_B=len(birnn.theta_B),
    )  # fmt: skip


def shape(text: str, letters: dict[str, int]) -> tuple[int, ...]:
    """`[B, n-1, k]` as numbers."""
    product = re.sub(r"(\d)([a-zA-Z])", r"\1*\2", text.replace("·", "*"))
    return tuple(eval(product, {}, letters))


def tensors(names: dict[str, Any]) -> dict[str, Callable[[], Tensor | tuple[Tensor, ...]]]:
    """What the names of the last column stand for, where that is not simply an attribute of something."""
    birnn, page, model, hmm, crf = (names[name] for name in ("birnn", "page", "model", "hmm", "crf"))
    decoding: Decoding = mean_field(birnn, page)
    relaxation = Relaxation(model.detach())
    words = birnn.lexicon.features(page, ends=True)
    counts, _ = hmm.e_step(page)
    objects = {"LinearChain": model, "Batch": page, "Decoding": decoding, "Counts": counts}

    def attribute(name: str) -> Tensor:
        owner, _, rest = name.partition(".")
        return getattr(objects.get(owner, names.get(owner)), rest)

    chain = importlib.import_module("chain")
    special = {
        "LinearChain.transition": lambda: model.transition(1),
        "LinearChain.energy": lambda: model.energy(decoding.relaxed.to(model.emit)),
        "chain.forward": lambda: chain.forward(model),
        "chain.backward": lambda: chain.backward(model),
        "Lexicon.embed": lambda: birnn.lexicon.embed(page),
        "Relaxation.field": lambda: relaxation.field(decoding.relaxed),
        "ConditionalRandomField.transition_weights": lambda: crf.transition_weights(),
        "ConditionalRandomField.emission_weights": lambda: crf.emission_weights(crf.lexicon.features(page)),
        "ConditionalRandomFieldNeural.context": lambda: birnn.context(words, page),
    }
    found = {name for row in rows() for name in re.findall(r"`([A-Za-z]\w*\.\w+)`", row[3])}
    return {name: special.get(name, lambda name=name: attribute(name)) for name in found}


def test_shapes_of_the_table_are_those_of_the_code(names: dict[str, Any]) -> None:
    """Each tensor that is named in the last column has one of the shapes that its row gives."""
    letters, known, compared = sizes(names), tensors(names), 0
    low_rank = {**letters, "k": len(names["low_rank"].tagset)}
    for symbol, _, shapes, code in rows():
        claimed = re.findall(r"\[[^\]]+\]", shapes)
        for name in re.findall(r"`([A-Za-z]\w*\.\w+)`", code) if claimed else ():
            given = [shape(text, low_rank if name.startswith("low_rank") else letters) for text in claimed]
            value = known[name]()
            for tensor in value if isinstance(value, tuple) else (value,):
                if isinstance(tensor, Tensor):
                    assert tuple(tensor.shape) in given, f"{symbol}: {name} is {tuple(tensor.shape)}, not {shapes}"
                    compared += 1
    assert compared >= 35


# Names


def exists(name: str, names: dict[str, Any]) -> bool:
    """Whether it is something in our code, in the page's program, in torch or in Python."""
    try:
        eval(name, {"torch": torch}, names)
        return True
    except (NameError, AttributeError):
        owner, _, rest = name.partition(".")
    for path in CLASSES:
        module, _, title = path.rpartition(".")
        if owner == title:
            of = getattr(importlib.import_module(module), title)
            return not rest or hasattr(of, rest) or rest in field_names(of)
    for module in (owner, f"decoders.{owner}"):
        if (ROOT / "code" / f"{module.replace('.', '/')}.py").exists():
            return not rest or hasattr(importlib.import_module(module), rest)
    return hasattr(torch, name)


def field_names(of: type) -> set[str]:
    """Attributes that only instances have."""
    documented = set(re.findall(r"^        (\w+): ", of.__doc__ or "", re.MULTILINE))
    assigned = set(re.findall(r"self\.(\w+)\b", Path(importlib.import_module(of.__module__).__file__).read_text()))
    return documented | assigned | set(getattr(of, "__annotations__", {}))


def test_names_in_backquotes_exist(names: dict[str, Any]) -> None:
    quoted = set(re.findall(r"`([^`\n]+)`", PROSE))
    options = {option for action in parser()._actions for option in action.option_strings}
    folders = ("", "code", "code/decoders", "writeup")
    missing = []
    for text in sorted(quoted):
        if re.fullmatch(r"[\w/]+\.(py|md)", text):
            good = text in KERNELS or any((ROOT / folder / text).exists() for folder in folders)
        elif text == "code/":
            good = True
        elif "--" in text:
            said = re.findall(r"(?<![\w-])--[a-z]\w*", text)
            good = bool(said) and set(said) <= options and text.split()[0] in (*options, "tag.py")
        elif re.fullmatch(r"[A-Za-z_][\w.]*", text):
            good = exists(text, names)
        else:
            good = text in ("len(batch)", "words @ X")
        if not good:
            missing.append(text)
    assert not missing and len(quoted) > 50
    assert {"exact.posterior", "exact.viterbi"} <= set(DECODERS.values()) and hasattr(Batch, "__len__")
    assert LinearChain.__name__ in names


def test_limits_of_exp_space_are_those_of_the_kernels() -> None:
    kernels = pytest.importorskip("chain_fast", reason="the students' package has no kernels")
    single, double = (f"{kernels.LARGEST_RANGE[dtype]:.0f}" for dtype in (torch.float32, torch.float64))
    section = " ".join(TEXT.partition("**When that is safe.**")[2].partition("```")[0].split())
    assert f"a range of {single} is taken as the limit, in float64 one of {double}" in section


# Formulas


def inline_formulas() -> list[tuple[str, str, str]]:
    """Each formula within a line, with the character before and the one after."""
    found = []
    for line in re.sub(r"`[^`\n]*`", "", PROSE).splitlines():
        assert line.count("$") % 2 == 0, f"a dollar sign too many: {line}"
        padded = f" {line} "
        found += [(m[1], padded[m.start() - 1], padded[m.end()]) for m in INLINE.finditer(padded)]
    return found


def test_formulas_within_lines_survive_markdown() -> None:
    """GitHub's Markdown takes some characters before its mathematics see them."""
    formulas = inline_formulas()
    assert len(formulas) > 200
    for formula, before, after in formulas:
        assert not re.search(r"\\[^A-Za-z]", formula), f"a backslash that Markdown takes: {formula}"
        assert not re.search(r"(?:^|[^\w])_|\*|<|>|\]\(|~~", formula), f"emphasis, a tag or a link: {formula}"
        assert formula == formula.strip() and "`" not in formula, formula
        assert before in ' (|*"' and after in ' .,;:?!)|*"', f"not seen as a formula: {before}${formula}${after}"


def test_formulas_are_well_formed() -> None:
    displayed = [content for language, content in FENCE.findall(TEXT) if language == "math"]
    assert len(displayed) >= 25
    for formula in [*displayed, *(formula for formula, _, _ in inline_formulas())]:
        bare = re.sub(r"\\[{}]", "", formula)
        depth = 0
        for character in bare:
            depth += {"{": 1, "}": -1}.get(character, 0)
            assert depth >= 0, formula
        assert depth == 0, formula
        assert len(re.findall(r"\\left\b", formula)) == len(re.findall(r"\\right\b", formula)), formula
        # refused by GitHub, or defined nowhere
        assert not re.search(r"\\(operatorname|newcommand|def|require|tag|label|ref|bm|mathbbm)\b", formula), formula


def test_equation_numbers_are_those_of_the_instructions() -> None:
    displayed = "".join(content for language, content in FENCE.findall(TEXT) if language == "math")
    here = list(map(int, re.findall(r"\\qquad \((\d+)\)", displayed)))
    assert len(here) == len(set(here)) and set(here) >= {1, 12, 17, 18, 30, 31, *range(42, 57)}
    there = set(map(int, re.findall(r"(?<!\w)\((\d\d?)\)", INSTRUCTIONS)))
    used = set(map(int, re.findall(r"(?<![\w$])\((\d\d?)\)", INLINE.sub("", PROSE))))
    assert used <= there | set(here)


# The page


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", PROSE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert len(links) == len(set(links)) >= 15 and set(links) <= anchors
    numbers = [int(match) for match in re.findall(r"^## (\d+)\. ", PROSE, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_exercise_has_an_answer() -> None:
    title = re.compile(r"^\*\*Exercise (\d+)\.(\d+)\.\*\*", re.MULTILINE)
    exercises, bodies = title.findall(TEXT), title.split(TEXT)[3::3]
    assert len(exercises) == len(bodies) >= 20
    for (section, number), (before_section, before) in zip(exercises[1:], exercises):
        assert int(number) == (int(before) + 1 if section == before_section else 1)
    for (section, number), body in zip(exercises, bodies):
        answer = re.search(r"<details><summary>Answer</summary>\n\n(.+?)\n</details>\n", body, re.DOTALL)
        assert answer and len(answer[1]) > 40, f"exercise {section}.{number}"
        lines = TEXT[: TEXT.index(f"**Exercise {section}.{number}.**")]
        assert int(re.findall(r"^## (\d+)\. ", lines, re.MULTILINE)[-1]) == int(section)


def test_lines_are_no_longer_than_ours() -> None:
    kept = re.sub(r"^```math\n.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert not [line for line in kept.splitlines() if len(line) > 120 and not line.startswith("|")]
