"""Pages from templates, the same for `build` and `serve`.

Jinja2 escapes every value (autoescape; torch requires it, so requirements.txt brings it). A page is one file: its
style is inside, allowed by its hash in the content security policy, and there is no script and nothing from
elsewhere. Texts that a submission may have written (logs, names of tags) are also freed of what a terminal or an eye
could be misled by.
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from grader.leaderboard import plots
from grader.leaderboard.board import BASELINES, Board, private_board, public_board
from grader.leaderboard.store import Store

FOLDER = Path(__file__).resolve().parent / "templates"
STYLE = (FOLDER / "style.css").read_text(encoding="utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; img-src data:; base-uri 'none'; form-action 'self'"
KINDS = {"known": "known words", "seen": "seen words", "novel": "novel words"}


def percent(fraction: float | None) -> str:
    """One decimal: more would rank noise."""
    return "–" if fraction is None else f"{100 * fraction:.1f}"


def short(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def when(time: datetime) -> str:
    return f"{short(time)} UTC"


def plain(text: object) -> str:
    """The text without control and direction characters, each shown as its number instead."""
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t" else c
        for c in str(text).replace("\r\n", "\n")
    )


def verdict(text: str) -> str:
    return plain(text).replace("_", " ")


def name_of(handle: str) -> str:
    """What a line is called: a baseline by what it is, a student by the handle."""
    return BASELINES.get(handle, handle)


@lru_cache(maxsize=1)
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "short": short,
        "when": when,
        "plain": plain,
        "verdict": verdict,
        "name": name_of,
    }
    made.globals |= {"style": Markup(STYLE), "policy": POLICY, "plots": plots, "kinds": KINDS}
    return made


def page(template: str, **values: Any) -> str:
    """A whole page. `base` is what the addresses of its links begin with; `viewer` is "public", "student" or
    "staff"."""
    return environment().get_template(template).render(**values)


def static_pages(store: Store, now: datetime) -> dict[str, str]:
    """The boards as files: name to text."""
    closed = private_board(store)
    texts = {"index.html": "Public board"} | ({"private.html": "Final board"} if closed else {})
    shown = {"index.html": public_board(store), "private.html": closed}
    pages = {}
    for name, title in texts.items():
        links = [{"address": other, "text": text, "here": other == name} for other, text in texts.items()]
        pages[name] = board_page(shown[name], title, now, links=links if closed else [], base="", viewer="public")
    return pages


def board_page(board: Board, title: str, now: datetime, own: str | None = None, **values: Any) -> str:
    """Known, seen and novel of others are left out where a Ladder is there to tell less."""
    return page("board.html", board=board, title=title, now=now, own=own, details=board.policy.ladder is None, **values)
