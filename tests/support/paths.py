"""Where things lie, for tests at any depth."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
"""Data sets beside the checkout; tests that want them skip without."""
NASTY = str(ROOT / "tests" / "support" / "nasty.py")
"""Rewards that misbehave, for `path.py:attr`."""
FEW_COUNTDOWN = f"{ROOT / 'tests' / 'support' / 'models' / 'few.py'}:FewCountdown"
"""Countdown with few problems, as a task's name."""
