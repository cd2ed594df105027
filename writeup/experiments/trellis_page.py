"""The page of trellis.py: trellis_page.html with its script, trellis_page.js, and what it shows, as JSON, put in."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def page(content: Mapping[str, Any]) -> str:
    """A whole document.

    Args:
        content: what trellis.content gives, and `about`, where the sentence and the model are from.
    """
    parts = dict(
        SENTENCE=html.escape(" ".join(content["words"])),
        ABOUT=html.escape(content["about"]),
        DATA=embedded(content),
        SCRIPT=(HERE / "trellis_page.js").read_text(encoding="utf-8"),
    )
    template = (HERE / "trellis_page.html").read_text(encoding="utf-8")
    return re.sub(
        r"@(SENTENCE|ABOUT|DATA|SCRIPT)@", lambda match: parts[match[1]], template
    )  # once: no part is searched


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: no character of it begins a tag or a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
