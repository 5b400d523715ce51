"""Tables of results, and what to do next."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from optiscope.cli import console
from optiscope.labels import FILE_NAME, read_document
from optiscope.names import names_of
from optiscope.records import WRITER, hooks_observer

if TYPE_CHECKING:
    from optiscope.labels import Comparison, RunVerdict
    from optiscope.records import RunInfo
    from optiscope.report import VerdictRow

STYLES = {"stable": "green", "unstable": "bold red", "undecided": "yellow"}
WHY_WIDTH = 40
"""Columns that a reason needs beside a table."""


def plain_table(*titles: str, right: Sequence[str] = ()) -> Table:
    """Return a table without lines whose columns named in `right` are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in titles:
        number = title in right
        table.add_column(title, justify="right" if number else "left", no_wrap=number, overflow="fold")
    return table


def show_verdicts(out: Path, as_json: bool) -> None:
    """Write the verdicts of the folder `out` to stdout: its characterization.json, or a table of it.

    How many seeds were spent, and which run files could not be judged, is told on stderr.
    """
    from optiscope.report import spent

    text = (out / FILE_NAME).read_text(encoding="utf-8")
    document = json.loads(text)
    if as_json:
        sys.stdout.write(text)
    else:
        to = console.stdout()
        console.show(to, *verdicts(document, to))
    if _several_seeds(document):
        console.show(console.stderr(), f"{spent(document)}.")
    for file in document.get("unreadable", ()):
        console.show(console.stderr(), f"Not judged: {file['why']}")


def verdicts(document: Mapping[str, Any], to: Console) -> list[Table | Text | str]:
    """Return a row a cell of a characterization: what it is, its verdict, and why in one line.

    The reasons stand below the table where less than `WHY_WIDTH` columns are left for them. Where not even the words of
    the table have room, rows would lose what tells them apart: each is a sentence then.
    """
    from optiscope.report import verdict_rows

    rows, seeds = verdict_rows(document), _several_seeds(document)
    bare = _verdict_table(rows, seeds, whys=False)
    needed = to.measure(bare, options=to.options.update(width=console.UNWRAPPED))
    if needed.maximum + WHY_WIDTH <= to.width:
        return [_verdict_table(rows, seeds, whys=True)]
    if needed.minimum > to.width:
        return [*(_sentence(row, seeds) for row in rows)]
    return [bare, "", *(f"{row.name}: {' '.join(row.why.split())}" for row in rows)]


def _sentence(row: VerdictRow, seeds: bool) -> Text:
    counts = f", {row.seeds} seeds, P(unstable) {row.interval}" if seeds else ""
    verdict = (row.verdict, STYLES.get(row.verdict, ""))
    return Text.assemble(f"{row.name}: ", verdict, f"{counts}: {' '.join(row.why.split())}")


def _several_seeds(document: Mapping[str, Any]) -> bool:
    return any(len(cell["runs"]) > 1 for cell in document["cells"])


def _verdict_table(rows: Sequence[VerdictRow], seeds: bool, whys: bool) -> Table:
    several = len({row.reduction for row in rows}) > 1
    titles = ["optimizer", "batch", "lr", *(["loss"] if several else []), "verdict"]
    titles += [*(["seeds", "P(unstable)"] if seeds else []), *(["why"] if whys else [])]
    table = plain_table(*titles, right=("batch", "lr", "seeds"))
    for row in rows:
        name = [row.optimizer, row.batch_size, row.lr, *([row.reduction] if several else [])]
        verdict = Text(row.verdict, style=STYLES.get(row.verdict, ""))
        counts = [row.seeds, row.interval] if seeds else []
        table.add_row(*name, verdict, *counts, *([" ".join(row.why.split())] if whys else []))
    return table


def show_comparison(found: Comparison, as_json: bool) -> None:
    """Write to stdout how many runs two rule sets give which verdict, and the runs on which they disagree."""
    if as_json:
        console.write_json(found.plain())
        return
    titles = list(found.counts)
    matrix = plain_table("recorded", *titles, right=titles)
    for was, row in found.counts.items():
        matrix.add_row(was, *(str(row[now]) for now in titles))
    total = sum(sum(row.values()) for row in found.counts.values())
    lines: list[Table | str] = [matrix, f"{len(found.changed)} of {total} runs have another verdict by these rules."]
    if found.changed:
        runs = plain_table("run", "recorded", "by these rules", "why")
        for run in found.changed:
            now = Text(run.after, style=STYLES[run.after])
            runs.add_row(run.run_id, Text(run.before, style=STYLES[run.before]), now, " ".join(run.why.split()))
        lines.append(runs)
    console.show(console.stdout(), *lines)
    for run_id in found.missing:
        console.show(console.stderr(), f"Not compared: {run_id} was judged by only one of the two.")


def show_run(run: RunVerdict, as_json: bool) -> None:
    """Write the verdict of one run to stdout, with what every analyzer says."""
    from optiscope.labels import run_to_plain

    if as_json:
        console.write_json(run_to_plain(run))
        return
    axes = f"outcome {run.outcome}, dynamics {run.dynamics}, signal {run.signal}"
    table = plain_table("analyzer", "result", "why")
    for finding in run.findings:
        table.add_row(finding.name, finding.result, " ".join(finding.why.split()))
    console.show(console.stdout(), f"{run.verdict}: {' '.join(run.why.split())}", axes, table)


def what_next(out: Path, page: Path) -> tuple[str, str]:
    """Return two lines: where the files are, and what to do with them."""
    folder = shlex.quote(str(out))
    return (
        f"Everything is in {folder}: open {shlex.quote(str(page))}.",
        f"Judge again: optiscope label {folder}   More seeds: the same command, --seeds N --out {folder} --resume",
    )


def not_ended(out: Path) -> list[str]:
    """Return a line if runs failed or never came to their end, and nothing otherwise."""
    runs = [run for cell in read_document(out)["cells"] for run in cell["runs"]]
    bad = [run for run in runs if run["status"] not in ("completed", "diverged")]
    return [f"{len(bad)} of {len(runs)} runs failed or did not end; --resume runs them again."] if bad else []


def observers(out: Path, budget: float | None = None) -> list[Table | str]:
    """Return what observing cost the runs in `out`: a table, and a line on each observer that took more than `budget`.

    `budget` is in percent. Nothing where no file knows.
    """
    from optiscope.report import read_observers

    rows = read_observers(out)
    if not rows:
        return []
    table = plain_table("observer", "time", "share of the runs", right=("time", "share of the runs"))
    for row in rows:
        table.add_row(*row.words)
    over = [row.observer for row in rows if budget is not None and row.share > budget and row.observer != WRITER]
    lines = []
    for name in over:
        hooks = name.startswith(hooks_observer(""))
        lines.append(f"{name}: over --budget {budget:g}" + (", and hooks cannot be thinned" if hooks else ""))
    return [table, *lines]


PLAN = ("run_id", "optimizer", "batch_size", "lr", "seed", "steps", "model", "reduction", "data")
"""What is told of a run before it is made."""


def plan(runs: Sequence[RunInfo]) -> Table:
    """Return a row a run that would be made; an optimizer has the options in which it differs from others."""
    out = plain_table(*PLAN, right=("batch_size", "lr", "seed", "steps"))
    names = names_of([{"optimizer": run.optimizer, "options": run.optimizer_options} for run in runs])
    for name, run in zip(names, runs, strict=True):
        values = [name if column == "optimizer" else getattr(run, column) for column in PLAN]
        out.add_row(*(f"{value:g}" if isinstance(value, float) else str(value) for value in values))
    return out


def planned(run: RunInfo) -> dict[str, object]:
    """Return what is told of a run before it is made, by name."""
    return {**{name: getattr(run, name) for name in PLAN}, "options": dict(run.optimizer_options)}
