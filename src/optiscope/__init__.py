"""optiscope: what an optimizer does to the training of a network.

    optiscope.characterize(GridConfig(...), out)    a grid of runs, with verdicts
    optiscope.max_lr(GridConfig(...), out)          the largest stable learning rates, with intervals
    optiscope.train(RunConfig(...))                 one run
    optiscope.open_run(path)                        read a run file, live or finished
    optiscope.open_grid(folder)                     all run files of a folder
    optiscope.verify(path), recover(path)           whether a file is whole; what can be saved of it
    optiscope.label(path)                           judge it
    optiscope.Recording(out, run, sources)          record a run that somebody else trains
    optiscope.label_series(loss=..., logits=...)    judge arrays of one's own

Names are resolved when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from optiscope.config import GridConfig, RunConfig
    from optiscope.engine import train
    from optiscope.labels import label, label_series
    from optiscope.recording import Recording
    from optiscope.storage import open_grid, open_run, recover, verify
    from optiscope.sweep import characterize, max_lr

__all__ = [
    "GridConfig",
    "Recording",
    "RunConfig",
    "__version__",
    "characterize",
    "label",
    "label_series",
    "max_lr",
    "open_grid",
    "open_run",
    "recover",
    "train",
    "verify",
]

_ROOMS = {
    "GridConfig": "config",
    "Recording": "recording",
    "RunConfig": "config",
    "characterize": "sweep",
    "label": "labels",
    "label_series": "labels",
    "max_lr": "sweep",
    "open_grid": "storage",
    "open_run": "storage",
    "recover": "storage",
    "train": "engine",
    "verify": "storage",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'optiscope' has no attribute {name!r}")
    return getattr(importlib.import_module(f"optiscope.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
