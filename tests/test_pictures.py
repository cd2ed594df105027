"""The page of pictures is made, stands by itself, and shows today's results; its diagrams show what is computed."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from test_experiments import ROOT  # puts the experiments on the path

# isort: split

import common
import pictures
import pictures_page
import pictures_svg
import plots

COMMITTED = ROOT / "writeup" / "figures" / "index.html"
EMPTY = {"meta", "br", "img", "link", "input", "hr"}  # elements of HTML that have no end


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page that --quick makes."""
    if plots.matplotlib is None:
        pytest.skip(plots.NO_PLOTS)
    out = tmp_path_factory.mktemp("pictures")
    assert pictures.main(["--quick", "--out", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["index.html"]
    return (out / "index.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Checks that elements are closed in order; gathers ids and attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attributes)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attributes]
        self.ids += [value or "" for name, value in attributes if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> in the wrong place"


def check_page(page: str) -> None:
    """It is well formed, every link leads somewhere, and nothing is fetched."""
    elements = Elements(page)
    assert len(elements.ids) == len(set(elements.ids))
    inner = set(re.findall(r"url\(#([^)]+)\)", page))
    for name, value in elements.attributes:
        if name == "href" and value.startswith("#"):
            inner.add(value[1:])
        elif name == "href":
            assert (COMMITTED.parent / value).exists(), value
    assert inner and inner <= set(elements.ids)
    assert not re.search(r"https?:|//\w|<script|<link|@import|\bsrc=|url\((?!#)", page)
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing.replace("&nbsp;", " "))
    described = re.findall(r'role="img" aria-label="([^"]+)"', page)
    assert len(described) == page.count('role="img"') == page.count("<svg") - 1 >= 9  # but for the arrow's tip
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page
    left = {colour for colour in (pictures_page.INK, *pictures_page.COLOURS) if colour in page.split("</style>")[1]}
    assert not left, "a colour of a plot that does not follow the page's"


def test_the_page_that_is_made(made: str) -> None:
    check_page(made)


def test_the_page_that_is_there() -> None:
    check_page(COMMITTED.read_text(encoding="utf-8"))


def section(page: str, name: str) -> str:
    return re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)[0]


def test_it_shows_the_results_of_today(made: str) -> None:
    """If this fails, run writeup/experiments/pictures.py."""
    committed = COMMITTED.read_text(encoding="utf-8")
    results = json.loads((common.WRITEUP / "results" / "main_line.json").read_text())
    artificial = json.loads((common.WRITEUP / "results" / "artificial.json").read_text())
    for page in made, committed:
        ladder = section(page, "the-ladder-of-models")
        for name, system in results["systems"].items():
            row = re.search(rf"<tr><td>{re.escape(name)}</td>(.*?)</tr>", ladder)[1]
            cells = re.findall(r"<td>(.*?)</td>", row)
            means = [system["accuracy"][category]["mean"] for category in ("all", "known", "seen", "novel")]
            assert cells[1:5] == ["-" if mean is None else f"{100 * mean:.2f}" for mean in means]
            assert cells[5] == f"{system['conditional_cross_entropy']['mean']:.4f}"
        for name, system in artificial["systems"].items():
            if not name.startswith("lamp"):
                found = sum(run["found"] for run in system["runs"])
                corpus, model = name.split()
                row = rf"<tr><td>{corpus}</td><td>{model}</td><td>[\d.]+</td><td>{found} of {len(system['runs'])}</td>"
                assert re.search(row, page)
        assert all(machine in page for machine in results["machines"])
    for name in "one-idea", "what-a-potential-sees", "forward-and-backward", "where-context-is-all":
        assert section(made, name) == section(committed, name)


def test_every_system_has_its_line() -> None:
    results = json.loads((common.WRITEUP / "results" / "main_line.json").read_text())
    assert set(pictures.WHAT) == set(results["systems"])


def test_forward_and_backward_show_what_enumeration_gives() -> None:
    model = pictures.train("icsup", None)
    diary = next(sentence for sentence in pictures.read_corpus(common.DATA / "icdev") if len(sentence) == 5)
    picture, Z = pictures.diary_passes(model, diary)
    start, trans, stop, _ = (part.exp().detach() for part in model.hmm.log_probabilities())
    emission = model.chain(diary)[0].emit[0].exp().detach()
    paths = list(itertools.product(range(2), repeat=5))
    weight = torch.stack([
        start[path[0]] * stop[path[-1]] * emission[range(5), path].prod()
        * torch.stack([trans[s, t] for s, t in itertools.pairwise(path)]).prod()
        for path in paths
    ])  # fmt: skip
    assert Z == pytest.approx(weight.sum().item())
    hot = [(weight[[path[day] == 1 for path in paths]].sum() / weight.sum()).item() for day in range(5)]
    shown = [float(p) for p in re.findall(r"p = ([\d.]+)<", picture)]  # C and H of each day
    assert shown[1::2] == pytest.approx(hot, abs=6e-4) and len(shown) == 10


def test_the_trellis_shows_the_posteriors() -> None:
    p, pairs = [[0.7, 0.3], [0.0, 1.0]], [[[0, 0.7], [0, 0.3]]]
    picture = pictures_svg.trellis(["a", "b"], ["N", "V"], p, pairs, [0, 1], ["N", "V"])
    assert re.findall(r">([\d.]+)</text>", picture) == ["0.70", "0.30", "1.00"]
    assert picture.count('class="line best"') == 1 and picture.count('class="line"') == 1
    assert picture.count('class="node best"') == 2 and picture.count('class="node"') == 2


def test_words_are_escaped() -> None:
    assert "<b>" not in pictures_svg.lamp(["<b>"], ["on"]) and "&lt;b&gt;" in pictures_svg.lamp(["<b>"], ["on"])


def test_a_result_that_is_not_there(tmp_path: Path, monkeypatch, capsys) -> None:
    if plots.matplotlib is None:
        pytest.skip(plots.NO_PLOTS)
    monkeypatch.setattr(common, "WRITEUP", tmp_path)
    assert pictures.main(["--out", str(tmp_path / "out")]) == 2
    message = "pictures.py: error: writeup/results/main_line.json is not there: run writeup/experiments/main_line.py\n"
    assert capsys.readouterr().err == message and not (tmp_path / "out").exists()


def test_without_matplotlib(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(plots, "matplotlib", None)
    assert pictures.main(["--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"pictures.py: error: {plots.NO_PLOTS}\n"
    assert not (tmp_path / "out").exists()
