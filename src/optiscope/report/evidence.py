"""The evidence behind each verdict, and where all of it comes from: analyzers, configurations, versions, costs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import attrs

from optiscope.report.blocks import Block, Code, Folded, Link, Paragraph, Section, Table, Verdict
from optiscope.report.inputs import Cell, Document, RunFile
from optiscope.report.observers import observer_rows
from optiscope.report.tables import VerdictRow, analyzer_rows, command, confidence_of


@attrs.frozen(kw_only=True, eq=False)
class Entry:
    """A cell with its words, and the identifier that links its places in the page; whether it has panels there."""

    cell: Cell
    row: VerdictRow
    key: str
    drawn: bool = True


def evidence(entry: Entry) -> Block:
    """Return the verdict of a cell with its runs, each with what every analyzer says, and how to make them again."""
    row, runs = entry.row, entry.cell.runs
    configs = [run.asked for run in runs if run.asked]
    body: list[Block] = []
    if entry.drawn and entry.cell.shown:
        links = (
            Link("signal", f"{entry.key}-signal", f"signal of {row.name}"),
            ", ",
            Link("loss and accuracy", f"{entry.key}-training", f"loss and accuracy of {row.name}"),
        )
        body.append(Paragraph(links))
    if len(runs) > 1:
        body.append(Paragraph(row.why))
    body += [_run(run, unfolded=run is (entry.cell.shown or runs[0])) for run in runs]
    if configs:
        text = json.dumps(dict(runs[0].config), indent=1, sort_keys=True, default=str)
        if again := command(configs, confidence_of(entry.cell.judged)):
            body += [Paragraph("This cell once more:"), Code(again)]
        body.append(Folded(summary="configuration of its first run", body=(Code(text),)))
    title = (row.name, ": ", Verdict(row.verdict))
    return Section(title=title, body=tuple(body), key=entry.key, level=3, label=f"Evidence for {row.name}")


def _run(run: RunFile, unfolded: bool) -> Block:
    judged = run.judged
    rows = tuple(
        (row.name, row.statistic, row.threshold, row.result, row.why, row.rule_version) for row in analyzer_rows(judged)
    )
    axes = ", ".join(f"{axis} {judged[axis]}" for axis in ("outcome", "dynamics", "signal") if judged.get(axis))
    title = (
        f"seed {judged.get('seed')}: ",
        Verdict(str(judged.get("verdict"))),
        f" ({axes})" if axes else "",
        f": {judged['why']}" if judged.get("why") else "",
    )
    heads = ("analyzer", "statistic", "threshold", "result", "why", "rule")
    caption = f"Run {judged.get('run_id')}, status {judged.get('status')}, file {judged.get('path')}"
    body: list[Block] = [Table(caption=caption, heads=heads, rows=rows, numbers=(1, 2))]
    if run.missing:
        body.append(Paragraph(f"Not drawn: {run.missing}"))
    return Folded(summary=title, body=tuple(body), unfolded=unfolded)


def cost_of_observing(entries: Iterable[Entry]) -> Block | None:
    """Return what each observer took of the runs; None where no file knows."""
    runs = [run for entry in entries for run in entry.cell.runs]
    rows = tuple(row.words for row in observer_rows((run.observer_time, run.wall_time) for run in runs))
    if not rows:
        return None
    caption = "What recorders, plugins' hooks and the writing of the files took of the time of all runs."
    thin = {name: factor for run in runs for name, factor in (run.asked.get("thin") or {}).items()}
    words = "Thinned: " + ", ".join(f"{name}, one row in {factor}" for name, factor in thin.items()) + "."
    table = Table(caption=caption, heads=("observer", "time", "share"), rows=rows, numbers=(1, 2))
    body: tuple[Block, ...] = (Paragraph(words), table) if thin else (table,)
    return Section(title="Cost of observing", body=body, label="Cost of observing")


def origin(document: Document, entries: Sequence[Entry]) -> Block:
    """Return the command that makes everything again, and the versions of what made it."""
    runs = [run for entry in entries for run in entry.cell.runs]
    configs = [run.asked for run in runs if run.asked]
    rows = [(str(name), str(version), "judged") for name, version in sorted((document.get("versions") or {}).items())]
    rows += dict.fromkeys(
        (name, version, "trained") for run in runs for name, version in sorted(made_with(run).items())
    )
    body: list[Block] = []
    if configs and (again := command(configs, confidence_of(entries[0].cell.judged))):
        several = len({len(entry.cell.runs) for entry in entries}) > 1
        more = ", every cell with as many seeds as the one that has most" if several else ""
        body += [Paragraph(f"All of it once more{more}:"), Code(again)]
    if rows:
        heads = ("name", "version", "what it did")
        body.append(
            Table(caption="Versions of what trained the runs, and of what judged them.", heads=heads, rows=tuple(rows))
        )
    return Section(title="Made with", body=tuple(body))


def made_with(run: RunFile) -> Mapping[str, str]:
    """Return the versions of what trained a run: packages, plugins, and the linear algebra library."""
    found = dict(run.versions)
    found |= {str(each.get("name")): str(each.get("version")) for each in run.config.get("plugins") or ()}
    blas = run.config.get("blas") or {}
    words = [str(blas[name]) for name in ("name", "version", "architecture") if blas.get(name)]
    return found | ({"BLAS": ", ".join(words)} if words else {})
