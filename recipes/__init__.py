"""What do I run? The promised names stand in `__init__.pyi`; everything else may move. They are loaded on first use."""

import lazy_loader

import doubleback.rewards.unfit  # noqa: F401 (it acts when it is imported, and telemetry, which comes with it, before)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
