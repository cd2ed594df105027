"""Takes the solutions out of a source file: each marked region becomes a line that says what to write.

    # BEGIN SOLUTION                                        raise NotImplementedError(
    return words @ self.emission                   ->           "task_crf_backprop: write ConditionalRandomField...
    # END SOLUTION                                          )

The file is read by Python's tokenizer and parser, not by search and replace, so that a marker that does nothing is
found: misspelt, in the wrong case, inside of a string, behind code, unbalanced, nested, around half a statement, in a
function that is not graded. Each is a MarkerError with file and line; a solution that leaks is worse than a build that
fails. Signatures, docstrings and all that stands outside of the regions stay, letter by letter.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
WORDS = re.compile(r"\b(begin|end)[\W_]*solution", re.IGNORECASE)  # must not be left anywhere
LIKENESS = 3  # edits: a comment this near to a marker is taken for one that was misspelt

# What students write (the graded names), by file, and the mark of its tests. Each holds one marked region or more.
GRADED: dict[str, dict[str, str]] = {
    "logsumexp_safe.py": {"logsumexp_safe": "task_logsumexp_safe", "logaddexp_safe": "task_logsumexp_safe"},
    "chain.py": {
        "forward": "task_forward",
        "backward": "task_backward",
        "viterbi": "task_viterbi",
        "counts_by_backprop": "task_counts_by_backprop",
    },
    "hmm.py": {"HiddenMarkovModel.m_step": "task_hmm", "HiddenMarkovModel.e_step": "task_hmm"},
    "crf.py": {"ConditionalRandomField.gradient": "task_crf"},
    "crf_backprop.py": {
        "ConditionalRandomFieldBackprop.emission_weights": "task_crf_backprop",
        "ConditionalRandomFieldBackprop.add_gradient": "task_crf_backprop",
    },
    "crf_neural.py": {
        "ConditionalRandomFieldNeural.context": "task_context",
        "ConditionalRandomFieldNeural.transition_potentials": "task_transition_potentials",
        "ConditionalRandomFieldNeural.emission_potentials": "task_emission_potentials",
    },
    "lexicon.py": {"problex": "task_problex", "affixes": "task_affixes"},
}

# Functions of the extensions that repeat a solution: they have no markers, and lose all of their bodies.
TWINS: dict[str, dict[str, str]] = {"encoders.py": {"SigmoidLayer.forward": "task_context"}}


class MarkerError(Exception):
    """A marker that does not do what it was meant to; the message names file and line."""


@dataclass(frozen=True)
class Stripped:
    """A source without solutions, and what was taken out: the bodies by qualified name, in the order of the file."""

    source: str
    bodies: dict[str, list[str]]


@dataclass(frozen=True)
class Region:
    """Lines `first` to `last` (from 1, both included, markers too) go, `body` being what they hold."""

    name: str
    first: int
    last: int
    indent: str
    body: str


def strip_source(
    source: str, file: str, graded: Mapping[str, str] | None = None, twins: Mapping[str, str] | None = None
) -> Stripped:
    """`source` without its solutions.

    Args:
        file: its name, for messages; the last part of it finds the names in GRADED and TWINS.
        graded, twins: other names, each with its task.

    Raises:
        MarkerError: see above; also a graded name without a region, or that the file does not define.
        SyntaxError: the source is none.
    """
    base = file.rsplit("/", 1)[-1]
    graded = GRADED.get(base, {}) if graded is None else graded
    twins = TWINS.get(base, {}) if twins is None else twins
    functions = dict(functions_of(ast.parse(source, file)))
    for name in [*graded, *twins]:
        if name not in functions:
            raise MarkerError(f"{file}: there is no function {name}, which is graded")
    lines = source.splitlines(keepends=True)
    regions = [marked_region(pair, functions, graded, lines, file) for pair in marker_pairs(source, file)]
    for name in graded:
        if not any(region.name == name for region in regions):
            raise MarkerError(f"{file}:{functions[name].lineno}: {name} is graded and holds no {BEGIN!r}")
    regions += [whole_body(name, functions[name], lines) for name in twins]
    bodies: dict[str, list[str]] = {}
    for region in sorted(regions, key=lambda region: region.first):
        bodies.setdefault(region.name, []).append(region.body)
    for region in sorted(regions, key=lambda region: -region.first):
        name = region.name if "." in region.name else f"{base.removesuffix('.py')}.{region.name}"
        lines[region.first - 1 : region.last] = hole(
            region.indent, f"{({**graded, **twins})[region.name]}: write {name}"
        )
    stripped = "".join(lines)
    ast.parse(stripped, file)
    left = WORDS.search(stripped)
    if left:
        raise MarkerError(f"{file}:{stripped[: left.start()].count(chr(10)) + 1}: {left[0]!r} is left after stripping")
    return Stripped(stripped, bodies)


def functions_of(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function with its qualified name; those inside of functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + node.name, node
        inner = f"{prefix}{node.name}." if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else prefix
        yield from functions_of(node, inner)


def marker_pairs(source: str, file: str) -> Iterator[tuple[int, int, int]]:
    """The lines of each BEGIN and its END, and their column. Everything that looks like a marker is one or an error."""
    opened: tuple[int, int] | None = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line, column = token.start
        where = f"{file}:{line}"
        if token.type == tokenize.STRING or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            found = WORDS.search(token.string)
            if found:
                line += token.string[: found.start()].count("\n")
                raise MarkerError(f"{file}:{line}: {found[0]!r} in a string is no marker; put it into other words")
        if token.type != tokenize.COMMENT:
            continue
        text = token.string.rstrip()
        if text not in (BEGIN, END):
            refuse_lookalike(text, where)
            continue
        if token.line[:column].strip():
            raise MarkerError(f"{where}: {text!r} must stand on a line of its own")
        if text == BEGIN and opened:
            raise MarkerError(f"{where}: {BEGIN!r} inside of the region that begins in line {opened[0]}")
        if text == END and not opened:
            raise MarkerError(f"{where}: {END!r} without a {BEGIN!r} before it")
        if text == BEGIN:
            opened = line, column
        else:
            if column != opened[1]:
                raise MarkerError(f"{where}: {END!r} is not indented as its {BEGIN!r} in line {opened[0]}")
            yield opened[0], line, column
            opened = None
    if opened:
        raise MarkerError(f"{file}:{opened[0]}: {BEGIN!r} without an {END!r} after it")


def refuse_lookalike(comment: str, where: str) -> None:
    """Raise MarkerError for a comment that is nearly a marker, or one with more in it."""
    letters = re.sub(r"[\W_]", "", comment).lower()
    wanted = ["".join(marker.split()[1:]).lower() for marker in (BEGIN, END)]
    if WORDS.search(comment) or any(edits(letters, word) <= LIKENESS for word in wanted):
        raise MarkerError(f"{where}: {comment!r} looks like a marker; write {BEGIN!r} or {END!r}, or other words")


def edits(a: str, b: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def marked_region(
    pair: tuple[int, int, int],
    functions: Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef],
    graded: Mapping[str, str],
    lines: list[str],
    file: str,
) -> Region:
    """The region between two markers: whole statements of the body of one graded function."""
    first, last, column = pair
    around = [name for name, node in functions.items() if node.lineno < first and last <= node.end_lineno + 1]
    around = [name for name in around if functions[name].col_offset < column]
    if not around:
        raise MarkerError(f"{file}:{first}: {BEGIN!r} outside of every function")
    name = max(around, key=lambda name: functions[name].lineno)
    if name not in graded:
        raise MarkerError(f"{file}:{first}: {name} holds a marked region and is no graded name")
    inside = 0
    for statement in functions[name].body:
        if first < statement.lineno and statement.end_lineno < last:
            inside += 1
            if is_docstring(statement):
                raise MarkerError(f"{file}:{statement.lineno}: the docstring of {name} is in its marked region")
        elif not (statement.end_lineno < first or last < statement.lineno):
            raise MarkerError(f"{file}:{first}: the region cuts through the statement of line {statement.lineno}")
    if not inside:
        raise MarkerError(f"{file}:{first}: the region holds no statement")
    return Region(name, first, last, " " * column, textwrap.dedent("".join(lines[first : last - 1])))


def whole_body(name: str, function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> Region:
    """All of a function after its docstring."""
    statements = [statement for statement in function.body if not is_docstring(statement)]
    first, last = statements[0].lineno, statements[-1].end_lineno
    return Region(name, first, last, " " * statements[0].col_offset, textwrap.dedent("".join(lines[first - 1 : last])))


def is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def hole(indent: str, message: str) -> list[str]:
    """The lines that stand in the place of a region."""
    line = f'{indent}raise NotImplementedError("{message}")'
    if len(line) <= 120:
        return [line + "\n"]
    return [f"{indent}raise NotImplementedError(\n", f'{indent}    "{message}"\n', f"{indent})\n"]
