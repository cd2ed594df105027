"""Figures of the experiments: matplotlib, where it is installed, and one look for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

try:
    import matplotlib
except ImportError:
    matplotlib = pyplot = None
else:
    matplotlib.use("Agg")
    from matplotlib import pyplot

NO_PLOTS = "no figures: matplotlib is not installed (pip install matplotlib==3.10.9, or the extra `plots`)"


def prepare(salt: str, size: int = 9) -> None:
    """Settings of all figures of a script.

    Args:
        salt: makes the ids in its SVG files, the same ones each time.
        size: of the letters, points.
    """
    matplotlib.rcParams.update({"svg.hashsalt": salt, "svg.fonttype": "none", "font.size": size})


def save(figure: Any, path: Path) -> None:
    """As .svg, and as .png for those who cannot see that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=150)
    pyplot.close(figure)
