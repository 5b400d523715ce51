"""How far a grid is: what `characterize` tells whoever watches it, about twice a second.

One `CellProgress` a cell (an optimizer at a batch size and a learning rate, all its seeds) and one `GridProgress`
over all of them. They are values: the live view, a quiet log and a test read the same ones.
"""

from __future__ import annotations

from typing import Literal

import attrs

CellStatus = Literal["waiting", "running", "completed", "diverged", "failed"]


@attrs.frozen(kw_only=True)
class CellProgress:
    """One cell: `runs` of which `finished` are over, and `step` of `steps` in all of them together.

    `optimizer` is its name, with what tells the cell from those of other settings (`optiscope.names`).
    `loss` is the last one known (None before the first), `signal` the recent past of the signal that the verdict
    looks at, oldest first.
    """

    optimizer: str
    batch_size: int
    lr: float
    runs: int
    finished: int = 0
    step: int = 0
    steps: int
    loss: float | None = None
    signal: tuple[float, ...] = ()
    status: CellStatus = "waiting"


@attrs.frozen(kw_only=True)
class GridProgress:
    """All cells. `elapsed` and `remaining` are in seconds; `remaining` is None while nobody can say.

    `later` says how many seconds what comes after this grid takes, None where nothing is known to come. `events` are
    those since the last call, one line each.
    """

    cells: tuple[CellProgress, ...]
    elapsed: float
    remaining: float | None = None
    later: float | None = None
    events: tuple[str, ...] = ()
