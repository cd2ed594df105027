"""The diagrams of pictures.py, as SVG that stands in an HTML page and takes its colours from the page's style sheet.

Every function returns a whole `<svg>`. Positions are in the units of its view box, of which the page shows about one a
pixel. Classes are those of pictures_page.STYLE: `soft` lines, the `best` path, `c1` ... `c4` for groups.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

Matrix = Sequence[Sequence[float]]
Point = tuple[float, float]


# Pieces


def svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    """A picture with a description for those who do not see it."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(label)}" '
        f'style="max-width:{width:g}px">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, content: str, style: str = "", anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{style}">{html.escape(content)}</text>'


def sub(x: float, y: float, letter: str, index: str, style: str = "", prime: bool = False) -> str:
    """A symbol with an index, as `h` with `i-2`."""
    mark = "\N{PRIME}" if prime else ""
    lower = f'<tspan dy="5" class="small">{html.escape(index)}</tspan>'
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" class="{style}">{letter}{mark}{lower}</text>'


def line(x1: float, y1: float, x2: float, y2: float, style: str = "soft", width: float = 1.5, tip: bool = False) -> str:
    end = ' marker-end="url(#tip)"' if tip else ""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{style}" stroke-width="{width:.2f}"{end}/>'


def curve(start: Point, leaving: Point, arriving: Point, end: Point, style: str) -> str:
    """Bent towards two points on its way."""
    (x1, y1), *others = start, leaving, arriving, end
    bends = ", ".join(f"{x:g} {y:g}" for x, y in others)
    return f'<path d="M {x1:g} {y1:g} C {bends}" class="{style}" stroke-width="2.5"/>'


def box(x: float, y: float, width: float, height: float, style: str = "box") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" class="{style}"/>'


def circle(x: float, y: float, radius: float, style: str) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:.2f}" class="{style}"/>'


# Diagrams


def pipeline() -> str:
    """Words, a model, a LinearChain, a decoder, tags."""
    stages = [
        ("words", "a batch of sentences", ""),
        ("model", "HMM, CRF, biRNN-CRF", "c1"),
        ("LinearChain", "start, emit, trans, stop", "c2"),
        ("decoder", "Viterbi, descent, ...", "c1"),
        ("tagging", "one tag a word", ""),
    ]
    parts, width, gap = [], 158, 20
    for number, (title, below, style) in enumerate(stages):
        x = 4 + number * (width + gap)
        parts += [box(x, 8, width, 58, f"box {style}"), text(x + width / 2, 33, title, "strong")]
        parts.append(text(x + width / 2, 54, below, "small"))
        if number:
            parts.append(line(x - gap, 37, x - 3, 37, tip=True))
    label = "Words go into a model, which makes a LinearChain; a decoder makes a tagging of it"
    return svg(5 * width + 4 * gap + 8, 74, parts, label)


def trellis(
    words: Sequence[str],
    tags: Sequence[str],
    p: Matrix,
    pairs: Sequence[Matrix],
    best: Sequence[int],
    gold: Sequence[str],
) -> str:
    """Posteriors as areas, bigrams as lines, the best path in colour.

    Args:
        p: p[i][t], of each word and each tag that is shown.
        pairs: pairs[i][s][t], of tags at i and i + 1.
        best: the rows of the best path.
    """
    left, top, dx, dy = 70, 26, 104, 44
    x = [left + dx * (i + 0.3) for i in range(len(words))]
    y = [top + dy * (t + 0.3) for t in range(len(tags))]
    parts = [text(24, y[t] + 5, tag, "strong") for t, tag in enumerate(tags)]
    for i, bigrams in enumerate(pairs):
        for s, row in enumerate(bigrams):
            for t, share in enumerate(row):
                if share >= 0.005:
                    on_path = (best[i], best[i + 1]) == (s, t)
                    style = "line best" if on_path else "line"
                    parts.append(line(x[i], y[s], x[i + 1], y[t], style, 0.6 + 5 * share))
    for i, word in enumerate(words):
        for t, share in enumerate(p[i]):
            parts.append(circle(x[i], y[t], 3 + 12 * share**0.5, "node best" if best[i] == t else "node"))
            if share >= 0.005:
                parts.append(text(x[i] + 17, y[t] - 9, f"{share:.2f}", "small halo", "start"))
        parts += [text(x[i], y[-1] + 42, word, "strong"), text(x[i], y[-1] + 62, f"gold {gold[i]}", "small")]
    label = f"Trellis of the sentence {' '.join(words)}: posterior of each tag, most probable path marked"
    return svg(x[-1] + 70, y[-1] + 72, parts, label)


def forward_backward(days: Sequence[str], tags: Sequence[str], alpha: Matrix, beta: Matrix, p: Matrix) -> str:
    """Both passes on one trellis, with their numbers; alpha[i][t] in probabilities."""
    left, top, dx, dy, width, height = 62, 52, 150, 118, 108, 84
    parts = [
        line(left, 22, left + dx * len(days) - 44, 22, "line c1", 2, tip=True),
        text(left, 14, "\u03b1: sums over the ways to get here", "small", "start"),
    ]
    for i, day in enumerate(days):
        x = left + dx * i
        for t in range(len(tags)):
            y = top + dy * t
            for s in range(len(tags) if i else 0):
                parts.append(line(x - dx + width, top + dy * s + height / 2, x - 2, y + height / 2, "line", 1))
        for t, tag in enumerate(tags):
            y = top + dy * t
            parts += [box(x, y, width, height), text(x + 8, y + 19, tag, "strong", "start")]
            for number, (name, value) in enumerate((("\u03b1", alpha[i][t]), ("\u03b2", beta[i][t]))):
                parts.append(text(x + 8, y + 40 + 18 * number, f"{name} {value:.3g}", f"c{number + 1} small", "start"))
            parts.append(text(x + 8, y + 76, f"p = {p[i][t]:.3f}", "strong small", "start"))
            parts.append(
                f'<rect x="{x:g}" y="{y + height - 3:g}" width="{width * p[i][t]:.1f}" height="3" class="fill"/>'
            )
        parts.append(text(x + width / 2, top + dy * len(tags) + 4, day, "strong"))
    bottom = top + dy * len(tags) + 28
    end = left + dx * len(days) - 44
    parts += [
        line(end, bottom, left, bottom, "line c2", 2, tip=True),
        text(end, bottom + 18, "\u03b2: sums over the ways to go on", "small", "end"),
    ]
    label = "Forward and backward probabilities of each tag on each day, and their product over Z"
    return svg(end + 20, bottom + 26, parts, label)


def potential() -> str:
    """What the two factors at position 3 of a sentence of 5 words see (eqs. 46-48)."""
    dx, left, middle = 92, 46, 150
    words = ["BOS", "w\u2081", "w\u2082", "w\u2083", "w\u2084", "w\u2085", "EOS"]
    x = [left + dx * j for j in range(len(words))]
    parts = []
    for j, word in enumerate(words):
        style = "box c3" if j == 3 else "box"
        parts += [box(x[j] - 28, middle - 16, 56, 32, style), text(x[j], middle + 5, word, "strong")]
    for j in range(len(words) - 1):  # the states between words j and j + 1
        gap = x[j] + dx / 2
        parts += [circle(gap, middle - 52, 15, "state c1"), sub(gap, middle - 49, "h", str(j))]
        parts += [circle(gap, middle + 52, 15, "state c2"), sub(gap, middle + 55, "h", str(j), prime=True)]
        parts.append(line(x[j] + 8, middle - 18, gap - 13, middle - 42, "line c1", 1.2, tip=True))
        parts.append(line(x[j + 1] - 8, middle + 18, gap + 13, middle + 42, "line c2", 1.2, tip=True))
        if j:
            parts.append(line(gap - dx + 16, middle - 52, gap - 18, middle - 52, "line c1", 1.2, tip=True))
            parts.append(line(gap - 16, middle + 52, gap - dx + 18, middle + 52, "line c2", 1.2, tip=True))
    emission, transition = (x[3], middle - 132), (x[3] - dx / 2, middle + 132)
    above, below = middle - 52, middle + 52
    gaps = [place + dx / 2 for place in x]
    parts += [
        line(gaps[2], above - 16, emission[0] - 30, emission[1] + 20, "line c1", 2.5),
        line(emission[0], middle - 17, emission[0], emission[1] + 20, "line c3", 2.5),
        curve(
            (gaps[3], below - 16),
            (gaps[3], middle - 5),
            (gaps[3] + 44, middle - 40),
            (emission[0] + 120, emission[1] + 20),
            "line c2",
        ),
        curve(
            (gaps[1], above + 16),
            (gaps[1], middle + 5),
            (gaps[1] - 44, middle + 40),
            (transition[0] - 120, transition[1] - 20),
            "line c1",
        ),
        line(gaps[3], below + 16, transition[0] + 34, transition[1] - 20, "line c2", 2.5),
        box(emission[0] - 150, emission[1] - 16, 300, 36, "box strongbox"),
        text(emission[0], emission[1] + 7, "emission (48): t\u2083 with w\u2083, h\u2082 and h\u2083\u2032", "strong"),
        box(transition[0] - 150, transition[1] - 20, 300, 36, "box strongbox"),
        text(
            transition[0],
            transition[1] + 3,
            "transition (47): t\u2082 t\u2083 with h\u2081 and h\u2083\u2032",
            "strong",
        ),
    ]
    label = "The emission at word 3 sees the prefix state before it, the word and the suffix state after it; the "
    label += "transition from word 2 to word 3 sees the prefix before word 2 and the suffix after word 3"
    return svg(x[-1] + 46, middle + 166, parts, label)


def lamp(words: Sequence[str], tags: Sequence[str]) -> str:
    """A sentence of the corpus `lamp`: its words, and above each whether the lamp is on."""
    dx = 62
    parts = []
    for i, (word, tag) in enumerate(zip(words, tags)):
        x = 34 + dx * i
        parts += [circle(x, 24, 12, "bulb on" if tag == "on" else "bulb"), text(x, 58, word), text(x, 78, tag, "small")]
    return svg(34 + dx * len(words), 88, parts, "Words and tags: " + " ".join(map("/".join, zip(words, tags))))
