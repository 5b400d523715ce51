"""Reads what a report is drawn from.

`characterization.json` says which runs there are and how they were judged; each run file holds what was measured.
A run file that is gone or damaged leaves a gap in the figures, with the reason, and never stops the report: the
verdicts are in the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.analysis import burn_in, lower_bound
from optiscope.errors import OptiscopeError

if TYPE_CHECKING:
    from optiscope.storage import Run

Floats = npt.NDArray[np.float64]
Document = Mapping[str, Any]
"""A JSON object, as `json` reads it."""

BAND = 3.0
"""Half the width of the drawn band, in the robust standard deviations that the envelope analyzer measures."""


@attrs.frozen(kw_only=True, eq=False)
class Envelope:
    """The lower envelope after the burn-in as it is judged, in logits: its median and band, [T'] each."""

    step: Floats
    low: Floats
    median: Floats
    high: Floats


@attrs.frozen(kw_only=True, eq=False)
class Track:
    """What is drawn of one run: series over its steps, [T], and over its epochs, [E]; NaN where there is no value.

    `signal` and `spread` are the 5 % quantile and the inter-quartile range of the logits of 50 images of the batch,
    `batch_min` is the minimum over the whole batch. `burn_in` steps at the beginning are not judged. `first_step` is
    that of the first alarm.
    """

    step: Floats
    signal: Floats
    spread: Floats
    batch_min: Floats
    loss: Floats
    accuracy: Floats
    epoch_step: Floats
    val_accuracy: Floats
    status: str
    burn_in: int
    first_step: int | None = None

    @property
    def envelope(self) -> Envelope | None:
        """The envelope of what follows the burn-in; None where nothing does, or where the signal has no spread.

        Like the analyzer it stops before the first step that is not finite. It is there for a run that is too short
        to be judged as well.
        """
        bound = lower_bound(self.signal, self.spread, self.burn_in)
        used = bound.values.size
        if used <= self.burn_in or not np.isfinite(bound.values).all():
            return None
        low, median, high = bound.band(BAND)
        return Envelope(step=self.step[self.burn_in : used], low=low, median=median, high=high)


@attrs.frozen(kw_only=True, eq=False)
class RunFile:
    """A run as it was judged (its entry in the JSON) and as it was recorded; `missing` says why there is no `track`.

    `config` is what the run file says the run is: the fields of `RunInfo`, among them "config", what was asked for.
    `observer_time` maps each observer to the seconds that it took of the run's `wall_time`.
    """

    judged: Document
    track: Track | None = None
    config: Document = attrs.field(factory=dict)
    missing: str = ""
    observer_time: Mapping[str, float] = attrs.field(factory=dict)
    wall_time: float = 0.0


@attrs.frozen(kw_only=True, eq=False)
class Cell:
    """A cell of the grid as it was judged, with its runs."""

    judged: Document
    runs: tuple[RunFile, ...]

    @property
    def shown(self) -> RunFile | None:
        """The run that is drawn in full: the first whose verdict is the cell's, else the first that was recorded."""
        recorded = [run for run in self.runs if run.track]
        alike = [run for run in recorded if run.judged.get("verdict") == self.judged.get("verdict")]
        return next(iter(alike + recorded), None)


def read_cells(out: Path, document: Document) -> tuple[Cell, ...]:
    """Return the cells of `document` with the runs that their paths, relative to `out`, lead to."""
    return tuple(
        Cell(judged=cell, runs=tuple(_read_run(out, judged) for judged in cell.get("runs", ())))
        for cell in document["cells"]
    )


def _read_run(out: Path, judged: Document) -> RunFile:
    from optiscope.storage import open_run

    try:
        with open_run(out / str(judged.get("path", ""))) as run:
            return RunFile(
                judged=judged,
                track=_track(run, judged.get("first_step")),
                config=run.config,
                observer_time=run.observer_time,
                wall_time=float(run.attrs.get("wall_time", 0.0)),
            )
    except (OptiscopeError, OSError) as error:
        return RunFile(judged=judged, missing=str(error))


def _track(run: Run, first_step: int | None) -> Track:
    steps, epochs, total = run.steps, run.epochs, run.n_steps

    def series(table: Mapping[str, Any], name: str, size: int) -> Floats:
        return np.asarray(table[name], dtype=np.float64) if name in table else np.full(size, np.nan)

    epoch_step = series(epochs, "step", 0)
    return Track(
        step=series(steps, "step", total),
        signal=series(steps, "logits_q05", total),
        spread=series(steps, "logits_iqr", total),
        batch_min=series(steps, "logits_batch_min", total),
        loss=series(steps, "loss", total),
        accuracy=series(steps, "accuracy", total),
        epoch_step=epoch_step,
        val_accuracy=series(epochs, "val_accuracy", epoch_step.size),
        status=run.status,
        burn_in=burn_in(total, int(run.config["steps_per_epoch"])),
        first_step=first_step,
    )
