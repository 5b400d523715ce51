"""Reads what a report is drawn from.

`characterization.json` says which runs there are and how they were judged; each run file holds what was measured.
A run file that is gone or damaged leaves a gap in the figures, with the reason, and never stops the report: the
verdicts are in the JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.analysis import LowerBound, lower_bound
from optiscope.errors import OptiscopeError
from optiscope.records import LOST

if TYPE_CHECKING:
    from optiscope.storage import Run

Floats = npt.NDArray[np.float64]
Document = Mapping[str, Any]
"""A JSON object, as `json` reads it."""

BAND = 3.0
"""Half the width of the drawn band, in the robust standard deviations that the envelope analyzer measures."""

UNFINISHED = ("running", "interrupted")
"""Statuses of runs that may still come to their end."""

ALARMING = ("alarm", "fail")
"""Results of an analyzer whose alarms are marked."""


@attrs.frozen(kw_only=True, eq=False)
class Envelope:
    """The lower envelope after the burn-in as it is judged, in logits: its median and band, [T'] each."""

    step: Floats
    low: Floats
    median: Floats
    high: Floats


@attrs.frozen
class AlarmMark:
    """An alarm of an analyzer, with its first and its last step."""

    name: str
    first: int
    last: int

    @property
    def told(self) -> str:
        """The same in words."""
        where = f"step {self.first}" if self.first == self.last else f"steps {self.first} to {self.last}"
        return f"{self.name} at {where}"


@attrs.frozen(kw_only=True, eq=False)
class Track:
    """What is drawn of one run: series over its steps, [T], and over its epochs, [E]; NaN where there is no value.

    `signal` and `spread` are the 5 % quantile and the inter-quartile range of the logits of 50 images of the batch,
    `batch_min` is the minimum over the whole batch. `first_step` is that of the first alarm,
    and `alarms` are all of them. `output` is what the model calls its output, all that is said of logits is
    about it. `step_time` is the median number of seconds between two steps, observing included; NaN
    where no clock was recorded.
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
    steps_per_epoch: int
    first_step: int | None = None
    train_accuracy: Floats = attrs.field(factory=lambda: np.empty(0))
    alarms: tuple[AlarmMark, ...] = ()
    output: str = "logits"
    step_time: float = math.nan

    @property
    def ended(self) -> bool:
        """Whether the run came to its end, be it that it diverged."""
        return self.status in ("completed", "diverged")

    @property
    def bound(self) -> LowerBound:
        """The lower bound of the signal as it is judged; its first `burn` steps are not."""
        return lower_bound(self.signal, self.spread, self.steps_per_epoch)

    @property
    def envelope(self) -> Envelope | None:
        """The envelope of what follows the burn-in; None where nothing does, or where the signal has no spread.

        Like the analyzer it stops before the first step that is not finite. It is there for a run that is too short
        to be judged as well.
        """
        bound = self.bound
        used = bound.values.size
        if used <= bound.burn or not np.isfinite(bound.values).all():
            return None
        low, median, high = bound.band(BAND)
        return Envelope(step=self.step[bound.burn : used], low=low, median=median, high=high)


@attrs.frozen(kw_only=True, eq=False)
class RunFile:
    """A run as it was judged (its entry in the JSON) and as it was recorded; `missing` says why there is no `track`.

    `config` is what the run file says the run is: the fields of `RunInfo`, among them "config", what was asked for.
    `observer_time` maps each observer to the seconds that it took of the run's `wall_time`. `versions` are those of
    what trained it.
    """

    judged: Document
    track: Track | None = None
    config: Document = attrs.field(factory=dict)
    missing: str = ""
    observer_time: Mapping[str, float] = attrs.field(factory=dict)
    wall_time: float = 0.0
    versions: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def asked(self) -> Document:
        """The `RunConfig` of the run as a mapping, empty where the file is missing."""
        asked: Document = self.config.get("config", {})
        return asked

    @property
    def stable_lr(self) -> float | None:
        """The largest stable lr by theory, where the run file knows one."""
        limit = self.config.get("stable_lr")
        if isinstance(limit, (int, float)) and math.isfinite(limit) and limit > 0:
            return float(limit)
        return None


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

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What was recorded of its runs."""
        return tuple(run.track for run in self.runs if run.track)

    @property
    def ended(self) -> tuple[Track, ...]:
        """Those of its runs that came to their end: of others nobody knows where they would have ended."""
        return tuple(track for track in self.tracks if track.ended)

    @property
    def stable_lr(self) -> float | None:
        """The largest stable lr by theory, where a run file knows one."""
        return next((run.stable_lr for run in self.runs if run.stable_lr is not None), None)


def read_cells(out: Path, document: Document) -> tuple[Cell, ...]:
    """Return the cells of `document` with the runs that their paths, relative to `out`, lead to."""
    lost = lost_runs(document)
    return tuple(
        Cell(judged=cell, runs=tuple(_read_run(out, judged, lost) for judged in cell.get("runs", ())))
        for cell in document["cells"]
    )


def lost_runs(document: Document) -> dict[str, str]:
    """Return the runs of which a characterization says that they came to no end, by run_id, with the reason."""
    return {str(each.get("run_id")): str(each.get("why")) for each in document.get("lost") or ()}


def _read_run(out: Path, judged: Document, lost: Container[str]) -> RunFile:
    """Return a run; its status is "lost" where it has not ended and never will."""
    from optiscope.storage import open_run

    if judged.get("run_id") in lost and judged.get("status") in UNFINISHED:
        judged = {**judged, "status": LOST}
    try:
        with open_run(out / str(judged.get("path", ""))) as run:
            if run.abandoned:
                judged = {**judged, "status": LOST}
            return RunFile(
                judged=judged,
                track=_track(run, judged),
                config=run.config,
                observer_time=run.observer_time,
                wall_time=float(run.attrs.get("wall_time", 0.0)),
                versions=_versions(run),
            )
    except (OptiscopeError, OSError) as error:
        return RunFile(judged=judged, missing=str(error))


def _versions(run: Run) -> dict[str, str]:
    try:
        return {str(name): str(version) for name, version in json.loads(run.attrs["versions_json"]).items()}
    except (KeyError, ValueError, AttributeError, TypeError):  # what a report says in passing is not worth a gap
        return {}


def _track(run: Run, judged: Document) -> Track:
    steps, epochs, total = run.steps, run.epochs, run.n_steps

    def series(table: Mapping[str, Any], name: str, size: int) -> Floats:
        return np.asarray(table[name], dtype=np.float64) if name in table else np.full(size, np.nan)

    epoch_step = series(epochs, "step", 0)
    between = np.diff(series(steps, "wall_time", total))
    between = between[np.isfinite(between)]
    return Track(
        step=series(steps, "step", total),
        signal=series(steps, "logits_q05", total),
        spread=series(steps, "logits_iqr", total),
        batch_min=series(steps, "logits_batch_min", total),
        loss=series(steps, "loss", total),
        accuracy=series(steps, "accuracy", total),
        epoch_step=epoch_step,
        train_accuracy=series(epochs, "train_accuracy", epoch_step.size),
        val_accuracy=series(epochs, "val_accuracy", epoch_step.size),
        status=LOST if judged.get("status") == LOST and run.status in UNFINISHED else run.status,
        steps_per_epoch=int(run.config["steps_per_epoch"]),
        first_step=judged.get("first_step"),
        alarms=_alarms(judged),
        output=str(run.config.get("output", "logits")),
        step_time=float(np.median(between)) if between.size else math.nan,
    )


def _alarms(judged: Document) -> tuple[AlarmMark, ...]:
    """Return the alarms of a run, the first first; those of analyzers that advise are among them."""
    marks = [
        AlarmMark(f"{found.get('name')} {alarm.get('name')}", int(alarm["steps"][0]), int(alarm["steps"][1]))
        for found in judged.get("analyzers") or ()
        if found.get("result") in ALARMING
        for alarm in found.get("alarms") or ()
    ]
    return tuple(sorted(marks, key=lambda mark: (mark.first, mark.last)))
