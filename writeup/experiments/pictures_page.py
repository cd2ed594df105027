"""The page of pictures.py: its style, and how its parts are put together. One file, nothing fetched, light and dark."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

# Colours of plots, by what stands for them in the style sheet; matplotlib gets the names' stand-ins.
INK = "#123456"
COLOURS = ["#0f72b0", "#c75a10", "#0a8f6b", "#a94a8c", "#7d6a00", "#5a5fd0", "#b03a48"]

STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfb; --ink: #1d2226; --soft: #b9c0c4; --faint: #eceeec; --panel: #ffffff;
  --c1: #0f72b0; --c2: #c75a10; --c3: #0a8f6b; --c4: #a94a8c; --c5: #7d6a00; --c6: #5a5fd0; --c7: #b03a48; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --ink: #e4e7e8; --soft: #566067; --faint: #23292e;
  --panel: #1b2024; --c1: #63b5ee; --c2: #f2a065; --c3: #4fd0a7; --c4: #e093c6; --c5: #d9c04a; --c6: #a3a7ff;
  --c7: #f08a94; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 3rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .4rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .3rem; border-top: 1px solid var(--soft); padding-top: 1rem; }
p { max-width: 46rem; margin: .4rem 0; }
nav a { margin-right: .9rem; white-space: nowrap; }
a { color: var(--c1); }
code { font: .92em ui-monospace, monospace; background: var(--faint); padding: 0 .25em; border-radius: 3px; }
figure { margin: .8rem 0; padding: .6rem; background: var(--panel); border: 1px solid var(--faint);
  border-radius: 8px; }
figcaption { font-size: .9rem; max-width: 46rem; margin-top: .4rem; }
.scroll { overflow-x: auto; }
.scroll svg { display: block; width: 100%; height: auto; margin: 0 auto; }
.diagram svg { min-width: 36rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .8rem; }
.pair figure { margin: 0; min-width: 0; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .15rem .9rem .15rem 0; white-space: nowrap; text-align: right;
  border-bottom: 1px solid var(--faint); }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
td:nth-child(2) { white-space: normal; }
svg text { fill: var(--ink); font: 14px system-ui, sans-serif; }
svg .small { font-size: 12px; } svg .strong { font-weight: 600; }
svg .halo { paint-order: stroke; stroke: var(--panel); stroke-width: 3px; }
svg text.c1 { fill: var(--c1); } svg text.c2 { fill: var(--c2); }
.soft, .line { stroke: var(--soft); fill: none; } .line.best { stroke: var(--c2); }
.line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); } .line.c3 { stroke: var(--c3); }
.box { fill: var(--panel); stroke: var(--soft); } .box.c1 { stroke: var(--c1); }
.box.c2 { stroke: var(--c2); stroke-width: 2; }
.box.c3 { stroke: var(--c3); stroke-width: 2; } .strongbox { stroke: var(--ink); stroke-width: 1.5; }
.node { fill: var(--soft); } .node.best { fill: var(--c2); } .fill { fill: var(--c3); }
.state { fill: var(--panel); } .state.c1 { stroke: var(--c1); } .state.c2 { stroke: var(--c2); }
.bulb { fill: var(--faint); stroke: var(--soft); } .bulb.on { fill: #f5c518; stroke: #b98f00; }
#tip path { fill: var(--soft); }
"""

ARROW = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><marker id="tip" viewBox="0 0 8 8" '
    'refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" markerUnits="userSpaceOnUse">'
    '<path d="M0 0 L8 4 L0 8 z"/></marker></defs></svg>'
)


def page(title: str, lead: str, sections: Sequence[tuple[str, str]], foot: str) -> str:
    """A whole document of sections, each a heading and its HTML."""
    names = [re.sub(r"\W+", "-", heading.lower()).strip("-") for heading, _ in sections]
    links = "".join(f'<a href="#{name}">{html.escape(heading)}</a> ' for name, (heading, _) in zip(names, sections))
    body = "".join(
        f'<section id="{name}"><h2>{html.escape(heading)}</h2>\n{content}</section>\n'
        for name, (heading, content) in zip(names, sections)
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body>{ARROW}<h1>{html.escape(title)}</h1>\n<p>{lead}</p>\n"
        f"<nav>{links}</nav>\n{body}<footer><p>{foot}</p></footer></body></html>\n"
    )


def figure(picture: str, caption: str, diagram: bool = False) -> str:
    """A picture with what it shows; a diagram keeps a size at which it can be read, and scrolls."""
    kind = "scroll diagram" if diagram else "scroll"
    return f'<figure><div class="{kind}">{picture}</div><figcaption>{caption}</figcaption></figure>\n'


def pair(*figures: str) -> str:
    """Side by side where there is room."""
    return f'<div class="pair">{"".join(figures)}</div>\n'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>\n'


def themed(drawn: str, name: str, label: str) -> str:
    """matplotlib's SVG as a part of the page: its colours those of the page, its ids its own, nothing from outside."""
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<!--.*?-->", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r' xmlns(:\w+)?="[^"]*"', "", drawn).replace("xlink:href", "href")
    drawn = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", drawn)
    drawn = re.sub(r"font: (\d+)px [^;\"]*", r"font-size: \1px", drawn)
    drawn = drawn.replace(INK, "currentColor")
    for number, colour in enumerate(COLOURS, start=1):
        drawn = drawn.replace(colour, f"var(--c{number})")
    drawn = re.sub(r'(<svg [^>]*?) width="([\d.]+)pt" height="[\d.]+pt"', r"\1", drawn, count=1)
    width = re.search(r'viewBox="0 0 ([\d.]+)', drawn)[1]
    attributes = f'role="img" aria-label="{html.escape(label)}" style="max-width:{1.45 * float(width):.0f}px"'
    return re.sub(r"\s*\n\s*", "\n", drawn.replace("<svg", f"<svg {attributes}", 1))
