"""How a run file and a folder of them show themselves in a notebook: a small table, and the loss as a line.

What is shown is HTML of a few kilobytes with nothing to load. Colours are the notebook's own (`currentColor`), so it is
legible on a light and on a dark background. Whatever cannot be read is left out: showing never raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from optiscope.errors import FileError
from optiscope.markup import Html, element
from optiscope.names import names_of
from optiscope.records import LOST
from optiscope.storage import files

if TYPE_CHECKING:
    from optiscope.storage.grid import Grid
    from optiscope.storage.reader import Run

MOST_ROWS = 20
"""Runs of a grid that are listed."""

ABANDONED = "nobody writes it any more: --resume goes on with it, 'optiscope file recover' ends it"

POINTS, WIDTH, HEIGHT = 150, 300, 60

COLUMNS = ("optimizer", "batch_size", "lr", "seed", "status", "n_steps")

SETTING = ("optimizer", "options", "model", "reduction", "data")
"""What is in the name of an optimizer, as far as it tells it from the others."""


def show_run(run: Run) -> str:
    """Return a run as HTML: what it is, how far it has come, and its loss at every step."""
    facts: dict[str, Any] = {"status": LOST if run.abandoned else run.status}
    loss: npt.NDArray[Any] = np.empty(0)
    try:
        config = run.config
        facts |= {name: config.get(name, "") for name in ("optimizer", "batch_size", "lr", "seed", "model", "data")}
        facts["steps"] = f"{run.n_steps} of {config.get('steps', run.n_steps)}"
        loss = run.steps["loss"]
        if loss.size:
            facts["last loss"] = f"{float(loss[-1]):.4g}"
        if run.n_epochs:
            facts["test accuracy"] = f"{float(run.epochs['val_accuracy'][-1]):.1%}"
    except (FileError, KeyError):  # closed or damaged: what is known stays
        pass
    if why := ABANDONED if run.abandoned else run.why:
        facts["why"] = why
    rows = [
        element("tr", element("th", name, scope="row"), element("td", _told(value))) for name, value in facts.items()
    ]
    return element("div", element("table", element("caption", run.run_id), element("tbody", rows)), _line(loss))


def show_grid(grid: Grid) -> str:
    """Return the runs of a folder as HTML, a row a run; no more than 20.

    An optimizer is called as in a report: with what tells it from the others of its name (`optiscope.names`).
    """
    runs = [{**row, "status": LOST} if _abandoned(row) else row for row in grid.runs]
    counts: dict[str, int] = {}
    for row in runs:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    counted = ", ".join(f"{count} {status}" for status, count in counts.items())
    title = f"{grid.path}: {len(runs)} run{'s' * (len(runs) != 1)}" + (f" ({counted})" if counted else "")
    head = element("tr", [element("th", name, scope="col") for name in ("run", *COLUMNS)])
    known = [row for row in runs if "optimizer" in row]
    names = names_of([{name: row[name] for name in SETTING} for row in known])
    called = {row["path"]: {**row, "optimizer": name} for row, name in zip(known, names, strict=True)}
    told = [called.get(row["path"], row) for row in runs]
    rows = [_row((row.get("run_id", row["path"].name), *(row.get(name, "") for name in COLUMNS))) for row in told]
    more = len(rows) - MOST_ROWS
    table = element("table", element("caption", title), element("thead", head), element("tbody", rows[:MOST_ROWS]))
    return element("div", table, element("p", f"and {more} more: see .runs") if more > 0 else "")


def _abandoned(row: Mapping[str, Any]) -> bool:
    return row["status"] == "running" and not files.holder(row["path"])


def _row(values: Iterable[Any]) -> Html:
    first, *rest = map(_told, values)
    return element("tr", element("th", first, scope="row"), [element("td", value) for value in rest])


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _line(values: Sequence[float] | npt.NDArray[Any]) -> Html:
    """Return values as a small line, of which stretches keep their least and greatest; empty for fewer than two."""
    known = np.asarray(values, dtype=np.float64)
    at = np.flatnonzero(np.isfinite(known))
    if at.size < 2:
        return Html("")
    low, high = float(known[at].min()), float(known[at].max())
    points = []
    for part in np.array_split(at, min(at.size, POINTS)):
        ends = part if at.size <= POINTS else np.unique([part[np.argmin(known[part])], part[np.argmax(known[part])]])
        for index in ends:
            x = WIDTH * index / (known.size - 1)
            y = HEIGHT * (1 - (known[index] - low) / ((high - low) or 1.0))
            points.append(f"{x:.1f},{y:.1f}")
    line = element("polyline", points=" ".join(points), fill="none", stroke="currentColor", stroke_width="1")
    label = f"loss against the step: from {known[at[0]]:.4g} to {known[at[-1]]:.4g}, between {low:.4g} and {high:.4g}"
    return element(
        "svg",
        line,
        viewBox=f"0 -2 {WIDTH} {HEIGHT + 4}",
        width=str(WIDTH),
        height=str(HEIGHT + 4),
        role="img",
        aria_label=label,
    )
