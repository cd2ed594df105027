"""What all tests share: code/ on the path, small tensors on few threads, no deadlines for hypothesis."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "code"))

import runtime  # noqa: E402, F401  before torch

import torch  # noqa: E402
from hypothesis import Phase, settings  # noqa: E402

torch.set_num_threads(1)  # the tensors of tests are small
torch.set_flush_denormal(False)  # as runtime.py sets it: hypothesis draws such numbers too
# without the phase "explain", which works for minutes on a function that is yet to be written
settings.register_profile(
    "course", deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate, Phase.shrink]
)
settings.load_profile("course")
