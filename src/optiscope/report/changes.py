"""What changed between two characterizations: of two versions of an optimizer, say.

Cells are matched by what they are. Options count, but for those that only one side has, as a newer version may have
more of them. A cell is

    regression     it was stable and is unstable, P(unstable) rose, or runs failed or were lost that had not before
    improvement    it was unstable and is stable, or P(unstable) fell
    changed        it has another verdict
    moved          loss or accuracy differ by more than their seeds do
    same           none of these

P(unstable) rose where Fisher's exact test says so at 5 %, after Holm's correction for all cells: with nothing changed,
one comparison in twenty at most names any cell. A run that raises has no verdict, so a crash leaves no trace in
P(unstable): seeds that failed or were lost are counted by themselves, those too that left no file. Loss and accuracy
are compared seed by seed, because the same seed begins with the same weights and sees the same batches; their intervals
are Student's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

from optiscope.analysis import holm, mean_interval, rise_interval, rise_p_value
from optiscope.errors import UsageError
from optiscope.labels import read_document
from optiscope.records import LOST
from optiscope.report.evidence import made_with
from optiscope.report.inputs import Cell, Document, RunFile, Track, lost_runs, read_cells
from optiscope.report.measures import end_accuracy, end_loss
from optiscope.report.tables import verdict_rows

LEVEL = 0.05
Kind = Literal["regression", "improvement", "changed", "moved", "same"]
FIXED = ("optimizer", "batch_size", "lr", "reduction", "model", "data")
FACTS = ("model_options", "steps", "steps_per_epoch", "train_samples", "data_digest")
ASKED = ("order", "schedule", "kernels", "threads")


@attrs.frozen(kw_only=True)
class Difference:
    """After less before, over `seeds` that both have: mean and 95 % interval, which is None for a single one.

    In `lost` other seeds one of the two is not finite.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    lost: int = 0

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@attrs.frozen(kw_only=True)
class CellChange:
    """A cell that both have. `unstable_*` is how many of how many decided runs were unstable.

    `failed_*` is how many of how many runs failed or were lost; a cell whose runs were lost before one of them left a
    file is "lost" `after`. `rise` of P(unstable) has the interval `low` to `high`; `p_value` is that of "it did not
    rise".
    """

    name: str
    kind: Kind
    before: str
    after: str
    unstable_before: tuple[int, int]
    unstable_after: tuple[int, int]
    failed_before: tuple[int, int]
    failed_after: tuple[int, int]
    rise: float
    low: float
    high: float
    p_value: float
    loss: Difference | None
    accuracy: Difference | None
    why: str


@attrs.frozen(kw_only=True)
class Changes:
    """What changed: cells in the order of the first characterization, those that only one has, what else differs.

    `unread` says why run files of the cells could not be read, `lost` which runs of the second were lost that are in no
    cell.
    """

    cells: tuple[CellChange, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    differs: tuple[str, ...]
    unread: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def regressions(self) -> tuple[CellChange, ...]:
        """The cells that became worse."""
        return tuple(cell for cell in self.cells if cell.kind == "regression")

    def plain(self) -> dict[str, Any]:
        """Return it as what JSON holds."""
        return {"regressions": len(self.regressions), **attrs.asdict(self)}


@attrs.frozen(kw_only=True, eq=False)
class _Pair:
    name: str
    before: Cell
    after: Cell
    gone: Mapping[Any, str] = attrs.field(factory=dict)
    """Seeds of the cell that were lost after and left no file, with the reason."""

    @property
    def failed(self) -> tuple[dict[Any, str], dict[Any, str]]:
        """The seeds that failed or were lost, before and after, with the reason."""
        return _failed(self.before), {**self.gone, **_failed(self.after)}

    @property
    def counts(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return _count(self.before), _count(self.after)


def compare_folders(before: Path, after: Path) -> Changes:
    """Return what changed from the characterization in `before` to that in `after`.

    Raises `UsageError` where one of them is none or no cell is in both, `FileError` where one is damaged.
    """
    documents = read_document(before), read_document(after)
    first, second = (_named(out, document) for out, document in zip((before, after), documents, strict=True))
    left_files = {run.judged.get("run_id") for cell in second.values() for run in cell.runs}
    lost = {run_id: why for run_id, why in lost_runs(documents[1]).items() if run_id not in left_files}
    pairs, left = [], dict(second)
    for name, cell in first.items():
        ids = {run.judged.get("run_id"): run.judged.get("seed") for run in cell.runs}
        gone = {seed: lost.pop(run_id) for run_id, seed in ids.items() if run_id in lost}
        match = _partner(cell, left)
        if match or gone:
            pairs.append(_Pair(name=name, before=cell, after=left.pop(match) if match else _NO_RUNS, gone=gone))
    if not pairs:
        raise UsageError(f"{before} and {after} have no cell in common: compare grids of the same optimizers and axes")
    matched = {pair.name for pair in pairs}
    return Changes(
        cells=_changes(pairs),
        only_before=tuple(name for name in first if name not in matched),
        only_after=tuple(left),
        differs=_differs(pairs),
        unread=_unread(pairs),
        lost=tuple(f"{run_id}: {why}" for run_id, why in lost.items()),
    )


_NO_RUNS = Cell(judged={"verdict": LOST}, runs=())
"""A cell of whose runs none left a file."""


def _named(out: Path, document: Document) -> dict[str, Cell]:
    """Return the cells of a folder by names that tell them apart."""
    found: dict[str, Cell] = {}
    for row, cell in zip(verdict_rows(document), read_cells(out, document), strict=True):
        name = row.name if row.name not in found else f"{row.name} (lr {cell.judged.get('lr')!r})"
        found[name] = cell
    return found


def _partner(cell: Cell, others: Mapping[str, Cell]) -> str | None:
    """Return the name of the cell among `others` that is the same; the one with the same options first."""
    alike = [name for name, other in others.items() if _fixed(other) == _fixed(cell)]
    mine = cell.judged.get("options") or {}

    def differences(name: str) -> tuple[int, int]:
        theirs = others[name].judged.get("options") or {}
        shared = [key for key in mine if key in theirs]
        return sum(mine[key] != theirs[key] for key in shared), len(mine.keys() ^ theirs.keys())

    best = min(alike, key=differences, default=None)
    return best if best is not None and not differences(best)[0] else None


def _fixed(cell: Cell) -> list[Any]:
    return [cell.judged.get(name) for name in FIXED]


def _count(cell: Cell) -> tuple[int, int]:
    p = cell.judged.get("p_unstable") or {}
    return int(p.get("unstable") or 0), int(p.get("decided") or 0)


def _failed(cell: Cell) -> dict[Any, str]:
    runs = [run.judged for run in cell.runs if run.judged.get("status") in ("failed", LOST)]
    return {run.get("seed"): str(run.get("why", "")) for run in runs}


def _changes(pairs: Iterable[_Pair]) -> tuple[CellChange, ...]:
    pairs = tuple(pairs)
    rose = _significant({pair.name: rise_p_value(*pair.counts) for pair in pairs})
    fell = _significant({pair.name: rise_p_value(*reversed(pair.counts)) for pair in pairs})
    return tuple(_change(pair, pair.name in rose, pair.name in fell) for pair in pairs)


def _significant(p_values: Mapping[str, float]) -> set[str]:
    levels = holm(p_values, LEVEL)
    return {name for name, p_value in p_values.items() if p_value <= levels[name]}


def _change(pair: _Pair, rose: bool, fell: bool) -> CellChange:
    was, now = (str(cell.judged.get("verdict")) for cell in (pair.before, pair.after))
    before, after = pair.counts
    rise, low, high = rise_interval(before, after)
    loss, accuracy = (_difference(pair, what) for what in (end_loss, end_accuracy))
    failed = pair.failed
    newly = [f"seed {seed}: {reason}" for seed, reason in failed[1].items() if seed not in failed[0]]
    kind: Kind = "same"
    why = ""
    if newly:
        kind, why = "regression", newly[0]
    elif (was, now) == ("stable", "unstable") or rose:
        kind, why = "regression", f"it was {was} and is {now}" if was != now else "P(unstable) rose"
    elif (was, now) == ("unstable", "stable") or fell:
        kind, why = "improvement", f"it was {was} and is {now}" if was != now else "P(unstable) fell"
    elif was != now:
        kind, why = "changed", f"it was {was} and is {now}"
    elif any(each is not None and each.clear for each in (loss, accuracy)):
        kind, why = "moved", "loss or accuracy differ by more than their seeds do"
    return CellChange(
        name=pair.name,
        kind=kind,
        before=was,
        after=now,
        unstable_before=before,
        unstable_after=after,
        failed_before=(len(failed[0]), len(pair.before.runs)),
        failed_after=(len(failed[1]), len(pair.after.runs) + len(pair.gone)),
        rise=rise,
        low=low,
        high=high,
        p_value=rise_p_value(before, after),
        loss=loss,
        accuracy=accuracy,
        why=why,
    )


def _difference(pair: _Pair, what: Callable[[Track], float]) -> Difference | None:
    """Return how `what` differs between runs of the same seed; None where no seed came to its end on both sides."""
    before, after = (_by_seed(cell, what) for cell in (pair.before, pair.after))
    values = [after[seed] - before[seed] for seed in before if seed in after]
    known = np.array([value for value in values if math.isfinite(value)])
    if not known.size:
        return None
    mean, low, high = mean_interval(known)
    single = known.size == 1
    return Difference(
        mean=mean,
        low=None if single else low,
        high=None if single else high,
        seeds=known.size,
        lost=len(values) - known.size,
    )


def _by_seed(cell: Cell, what: Callable[[Track], float]) -> dict[Any, float]:
    return {run.judged.get("seed"): what(run.track) for run in cell.runs if run.track and run.track.ended}


def _differs(pairs: Iterable[_Pair]) -> tuple[str, ...]:
    """Return what else differs between the runs of both sides, and so may be the reason."""
    said: dict[str, None] = {}
    for pair in pairs:
        sides = [_facts(cell) for cell in (pair.before, pair.after)]
        if all(sides):
            was, now = sides
            for name in dict.fromkeys((*was, *now)):
                if was.get(name) != now.get(name):
                    said[f"{name}: {was.get(name, 'none')} before, {now.get(name, 'none')} after"] = None
    return tuple(said)


def _unread(pairs: Iterable[_Pair]) -> tuple[str, ...]:
    """Return why runs of either side have no loss and no accuracy to compare."""
    cells = [cell for pair in pairs for cell in (pair.before, pair.after)]
    return tuple(dict.fromkeys(run.missing for cell in cells for run in cell.runs if run.missing))


def _facts(cell: Cell) -> dict[str, str]:
    run: RunFile | None = cell.shown
    if run is None:
        return {}
    config: Document = run.config
    facts = {name: config.get(name) for name in FACTS} | {name: run.asked.get(name) for name in ASKED}
    facts |= {f"option {key}": value for key, value in (cell.judged.get("options") or {}).items()}
    versions = {name: version for name, version in made_with(run).items() if name != "BLAS"}
    return {
        name: json.dumps(value) if not isinstance(value, str) else value for name, value in facts.items()
    } | versions
