"""What the runs of the seed paper's experiment say, from their files alone.

A folder of `optiscope.sweep.paper` holds a characterization a part. From these come the measured P(unstable) of every
cell, how far each place of the paper agrees with it (`claims`) for every setting that the paper leaves open, and
whether what batch size does to SGD is an effect of the effective step (`effective_step`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from optiscope.errors import OptiscopeError, UsageError
from optiscope.labels.cells import Cell, Probability
from optiscope.labels.claims import BATCH_SIZES, CLAIMS, Agreement, Place, agreement
from optiscope.labels.document import Characterization, finite
from optiscope.labels.effective_step import EffectiveStep, Exponent, Point, boundary_exponent, effective_step
from optiscope.labels.verdict import Verdict
from optiscope.whole import write_whole

FILE_NAME = "reproduction.json"
SCHEMA_VERSION = 1
CAP = 2.0
"""Loss over log K beyond which it does not matter by how much a run failed."""

ADAMS = {"adam": "outside the root", "adam-inside": "inside the root"}
MEASURES = {
    "loss": "training loss at the end, over log K",
    "roughness": "log of the signal's roughness R",
}


@attrs.frozen(kw_only=True)
class Setting:
    """What the paper does not say: the reduction, SGD's learning rate, and where Adam's epsilon stands."""

    reduction: str
    lr: float
    epsilon: str
    agreements: tuple[Agreement, ...]


@attrs.frozen(kw_only=True)
class Reproduction:
    """What the experiment found.

    `cells` are all cells that were measured, by the name of their part; `settings` how far the paper agrees with them;
    `steps` whether batch size acts through the effective step alone, by the names of `MEASURES`, and `boundary` the
    same by where verdicts change.
    """

    cells: Mapping[str, tuple[Cell, ...]]
    settings: tuple[Setting, ...]
    steps: Mapping[str, EffectiveStep]
    boundary: Exponent

    def write(self, out: Path) -> str:
        """Write `out`/reproduction.json, and return its text; the cells' evidence is in their parts' documents."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "claims": {
                name: [
                    {"optimizer": family, "batch_size": size, "unstable": unstable}
                    for (family, size), unstable in claim.items()
                ]
                for name, claim in CLAIMS.items()
            },
            "cells": {part: [_plain(cell) for cell in cells] for part, cells in self.cells.items()},
            "settings": [attrs.asdict(setting) for setting in self.settings],
            "effective_step": {name: {**attrs.asdict(step), "says": step.says} for name, step in self.steps.items()},
            "boundary": {**attrs.asdict(self.boundary), "says": self.boundary.says, "told": self.boundary.told},
        }
        text = json.dumps(finite(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(out / FILE_NAME, text)
        return text


def _plain(cell: Cell) -> dict[str, Any]:
    names = ("optimizer", "batch_size", "lr", "reduction", "verdict")
    return {**{name: getattr(cell, name) for name in names}, "p_unstable": attrs.asdict(cell.p_unstable)}


def reproduction(out: Path) -> Reproduction:
    """Return what the parts in `out` say; UsageError where none is there, FileError where one is damaged."""
    cells = {
        path.parent.name: Characterization.read(path).cells for path in sorted(out.glob("*/characterization.json"))
    }
    if not cells:
        raise UsageError(f"{out} holds no part of the experiment: name a folder that 'optiscope reproduce' wrote")
    sgd = cells.get("sgd-sum", ())
    points = list(_described(out, sgd))
    return Reproduction(
        cells=cells,
        settings=tuple(_settings(cells)),
        steps={
            name: effective_step([Point(cell.batch_size, cell.lr, values[name]) for cell, values in points])
            for name in MEASURES
        },
        boundary=boundary_exponent(list(summed(cells))),
    )


def summed(cells: Mapping[str, tuple[Cell, ...]]) -> Iterator[tuple[int, float, Verdict]]:
    """Yield batch size, learning rate and verdict of SGD's runs.

    The learning rate is that of summed gradients; with averaged ones, a run at lr is what one at lr / B is with these.
    """
    for part in ("sgd-sum", "sgd-mean"):
        for cell in cells.get(part, ()):
            lr = cell.lr if part == "sgd-sum" else cell.lr / cell.batch_size
            yield from ((cell.batch_size, lr, run.verdict) for run in cell.runs)


def _settings(cells: Mapping[str, tuple[Cell, ...]]) -> Iterator[Setting]:
    for part, found in cells.items():
        family, _, reduction = part.partition("-")
        if family != "sgd":
            continue
        adams = cells.get(f"adam-{reduction}", ())
        for lr in sorted({cell.lr for cell in found}):
            for name, epsilon in ADAMS.items():
                measured = _places([cell for cell in found if cell.lr == lr], "sgd") | _places(
                    [cell for cell in adams if cell.optimizer == name], "adam"
                )
                if len(measured) == 2 * len(BATCH_SIZES):
                    agreements = tuple(agreement(claim, measured) for claim in CLAIMS)
                    yield Setting(reduction=reduction, lr=lr, epsilon=epsilon, agreements=agreements)


def _places(cells: list[Cell], family: Any) -> dict[Place, Probability]:
    return {(family, cell.batch_size): cell.p_unstable for cell in cells if cell.batch_size in BATCH_SIZES}


def _described(out: Path, cells: tuple[Cell, ...]) -> Iterator[tuple[Cell, Mapping[str, float]]]:
    """Yield for each run of `cells` the numbers that describe its behaviour; NaN for what it does not have."""
    from optiscope.storage import open_run

    for cell in cells:
        for run in cell.runs:
            try:
                with open_run(out / "sgd-sum" / run.path) as record:
                    losses = np.asarray(record.epochs.get("train_loss", ()), np.float64)
                    known = math.log(int(record.config["outputs"]))
            except (OptiscopeError, OSError):
                continue
            end = losses[-1] / known if losses.size and run.status == "completed" else CAP
            rough = next((one.statistic for one in run.findings if one.name == "envelope"), None)
            yield (
                cell,
                {
                    "loss": min(float(end), CAP) if np.isfinite(end) else CAP,
                    "roughness": math.log(rough) if rough else math.nan,
                },
            )
