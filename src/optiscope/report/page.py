"""What the report says: what was found, then the figures, then the evidence a cell at a time.

The order is that of a reader in a hurry: the verdicts; where in learning rate and batch size they lie; the signals
that they rest on, all panels side by side as in the seed paper's Figure 6; whether the runs trained; and last, folded
away, each analyzer's numbers, the configuration and the command that makes it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from optiscope.report.blocks import (
    Block,
    Bullets,
    Columns,
    Figure,
    Gallery,
    Gap,
    Link,
    Muted,
    Page,
    Paragraph,
    Section,
    Table,
    Text,
    Verdict,
)
from optiscope.report.evidence import Entry, cost_of_observing, evidence, origin
from optiscope.report.figures import (
    BLOWN_UP,
    OUTLIER,
    POINTS,
    Limits,
    captioned,
    shared_limits,
    signal_panel,
    training_panel,
)
from optiscope.report.inputs import Cell, Document, Floats, RunFile, Track, lost_runs
from optiscope.report.legends import map_legend, signal_legend, training_legend
from optiscope.report.maps import map_figure, maps
from optiscope.report.measures import (
    end_accuracy,
    end_loss,
    gap,
    has_accuracy,
    over_seeds,
    percent,
    spread,
    told,
    told_share,
)
from optiscope.report.tables import confidence_of, spent, verdict_rows

HEADING = "What the optimizers did to training"

MOST_DRAWN = 100
"""Cells that have panels: with more of them a page would take minutes to draw, and nobody would look at each."""

MOST_POINTS = 60_000
"""Points that a line may have in all panels of one kind together: with more than 50 cells each gets fewer."""


def entries_of(document: Document, cells: Iterable[Cell]) -> tuple[Entry, ...]:
    """Return the cells of `document` as entries, numbered in their order.

    Where there are more than `MOST_DRAWN`, those have panels that are not stable, and after them the first ones.
    """
    rows = verdict_rows(document)
    chosen = sorted(range(len(rows)), key=lambda at: rows[at].verdict == "stable")[:MOST_DRAWN]
    return tuple(
        Entry(cell=cell, row=row, key=f"cell-{count + 1}", drawn=count in chosen)
        for count, (cell, row) in enumerate(zip(cells, rows, strict=True))
    )


def report_page(document: Document, cells: Iterable[Cell], more: Sequence[Block] = ()) -> Page:
    """Return the report on all cells of `document`; `more` comes before the verdicts."""
    entries = entries_of(document, cells)
    parts: list[Block | None] = [
        Paragraph(_summary(document, entries)),
        *_left_out(document),
        *more,
        verdicts(entries),
        map_section(entries),
        signals(entries),
        training(entries),
        Section(title="Evidence", key="evidence", body=()),
        *(evidence(entry) for entry in entries),
        cost_of_observing(entries),
        origin(document, entries),
    ]
    body = tuple(part for part in parts if part is not None)
    return Page(title="optiscope: what the optimizers did to training", heading=HEADING, body=body)


def _summary(document: Document, entries: tuple[Entry, ...]) -> str:
    words = [entry.row.verdict for entry in entries]
    counts = ", ".join(f"{words.count(verdict)} {verdict}" for verdict in sorted(set(words), key=_rank))
    optimizers = ", ".join(dict.fromkeys(entry.row.optimizer for entry in entries))
    cells = of(len(entries), "cell")
    return f"{cells} of {optimizers} in {spent(document)}: {counts or 'nothing was judged'}."


def _rank(verdict: str) -> tuple[int, str]:
    known = ("stable", "unstable", "undecided")
    return (known.index(verdict) if verdict in known else len(known), verdict)


def of(count: int, noun: str) -> str:
    """Return how many of something."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _left_out(document: Document) -> list[Block]:
    """Name the files that are in no cell because they could not be read as runs, and the runs that came to no end."""
    unread = [str(each.get("why")) for each in document.get("unreadable") or ()]
    lost = [f"{run_id}: {why}" for run_id, why in lost_runs(document).items()]
    told = (
        ("Unreadable files", f"{of(len(unread), 'file')} could not be read, left out of all cells:", unread),
        ("Lost runs", f"{of(len(lost), 'run')} came to no end:", lost),
    )
    return [
        Section(title=title, body=(Paragraph(head), Bullets(tuple(whys))), label=title)
        for title, head, whys in told
        if whys
    ]


def verdicts(entries: Sequence[Entry], linked: bool = True) -> Block:
    """Return the table of verdicts, a row a cell; if `linked`, each leads to the cell's panel."""
    rows: tuple[tuple[Text, ...], ...] = tuple(
        (
            Link(entry.row.optimizer, f"{entry.key}{'-signal' * entry.drawn}", f"evidence for {entry.row.name}")
            if linked
            else entry.row.optimizer,
            entry.row.batch_size,
            entry.row.lr,
            entry.row.reduction,
            Verdict(entry.row.verdict),
            (entry.row.p_unstable, ", ", Muted(entry.row.runs)),
            entry.row.why,
        )
        for entry in entries
    )
    heads = ("optimizer", "batch", "lr", "reduction", "verdict", "P(unstable)", "why")
    confidence = confidence_of(entries[0].cell.judged if entries else {})
    caption = f"P(unstable): the mean, then the {100 * confidence:g} % Jeffreys interval over the seeds."
    caption += " An optimizer's name leads to its panel." if linked else ""
    table = Table(caption=caption, heads=heads, rows=rows, numbers=(1, 2))
    return Section(title="Verdicts", body=(table,), label="Verdicts")


def map_section(entries: Iterable[Entry]) -> Block | None:
    """Return a map for each optimizer in each setting; None where there is no cell."""
    every = maps(entry.cell for entry in entries)
    if not every:
        return None
    figures = tuple(map_figure(found, f"map-{count}") for count, found in enumerate(every, start=1))
    return Section(
        title="Learning rate and batch size",
        body=(Paragraph("Tiles have the colour of the verdict."), Gallery(figures=figures, legend=map_legend(every))),
    )


def signals(entries: tuple[Entry, ...]) -> Block:
    """Return the panels of the signal, a cell each."""
    every, entries = len(entries), tuple(entry for entry in entries if entry.drawn)
    figures = signal_figures(entries, points_for(entries))
    words = (
        "The signal that flows into the output, step by step: Figure 6 of Ando, Fukuhara and Takefuji (2023), as "
        "optiscope draws it. The panels of one optimizer share a linear y scale, except those that say otherwise: a "
        f"run whose values span more than {OUTLIER:g} times the median span has its own, linear up to one and "
        "logarithmic beyond."
    )
    if every > len(entries):
        words += (
            f" {len(entries)} of {every} cells are drawn: those that are not stable, and after them the first ones."
        )
    return Section(title="Signal", body=(Paragraph(words), Gallery(figures=figures, legend=signal_legend(entries))))


def signal_figures(entries: Sequence[Entry], points: int) -> tuple[Figure | Gap, ...]:
    """Return the panel of each entry; those of one optimizer share their scale, and no line has many more `points`."""
    drawn: dict[str, dict[str, tuple[Track, str]]] = {}
    for entry in entries:
        if (run := entry.cell.shown) and run.track:
            drawn.setdefault(entry.row.optimizer, {})[entry.key] = (run.track, entry.row.verdict)
    limits = {
        key: shared
        for tracks in drawn.values()
        for key, shared in zip(tracks, shared_limits(*zip(*tracks.values(), strict=True)), strict=True)
    }
    return tuple(_signal(entry, limits.get(entry.key), points) for entry in entries)


def points_for(entries: Sequence[Entry]) -> int:
    """Return how many points a line has at most where so many panels are drawn."""
    return min(POINTS, MOST_POINTS // min(MOST_DRAWN, max(1, len(entries))))


def _signal(entry: Entry, limits: Limits | None, points: int) -> Figure | Gap:
    run, row = entry.cell.shown, entry.row
    if run is None or run.track is None:
        why = [run.missing for run in entry.cell.runs if run.missing] or ["no run of this cell was recorded"]
        return Gap(key=f"{entry.key}-signal", caption=(row.name, " ", Verdict(row.verdict), ". ", "; ".join(why)))
    track, others = run.track, _others(entry, run)
    seed = f"seed {run.judged.get('seed')}, " if len(entry.cell.runs) > 1 else ""
    alarms = "".join(f"; {alarm.told}" for alarm in track.alarms) + broken_off(track)
    return Figure(
        key=f"{entry.key}-signal",
        label=f"Signal of {row.name} against the step: {row.verdict}. {row.why}{alarms}",
        caption=(captioned(row.name, seed), Link("evidence", entry.key, f"evidence for {row.name}"), alarms),
        draw=partial(signal_panel, track, row.name, row.verdict, limits, others, points),
        data=partial(_signal_data, track, others),
    )


def _others(entry: Entry, shown: RunFile) -> tuple[Track, ...]:
    return tuple(run.track for run in entry.cell.runs if run is not shown and run.track)


def _signal_data(track: Track, others: tuple[Track, ...]) -> Columns:
    columns: dict[str, Floats] = {"step": track.step, "logits_q05": track.signal, "logits_batch_min": track.batch_min}
    if envelope := track.envelope:
        for name in ("low", "median", "high"):
            columns[f"envelope_{name}"] = _along(track.step, envelope.step, getattr(envelope, name))
    for count, other in enumerate(others, start=1):
        if envelope := other.envelope:
            columns[f"envelope_median_of_other_{count}"] = _along(track.step, envelope.step, envelope.median)
    return {name: values.tolist() for name, values in columns.items()}


def _along(step: Floats, known: Floats, values: Floats) -> Floats:
    """Return `values`, which are those at the steps `known`, at each of `step`; NaN at the others."""
    found = np.full(step.size, np.nan)
    there = np.isin(step, known)
    found[there] = values[np.isin(known, step)]
    return found


def training(entries: tuple[Entry, ...]) -> Block:
    """Return the panels of loss and accuracy, and where the runs ended in numbers."""
    figures: list[Figure] = []
    rows: list[tuple[Text, ...]] = []
    points = points_for(entries)
    for entry in entries:
        run, row = entry.cell.shown, entry.row
        if run is None or run.track is None:
            continue
        if entry.drawn:
            figures.append(_training(entry, run.track, _others(entry, run), points))
        tracks = entry.cell.ended
        loss, accuracy, gaps = (spread(map(what, tracks)) for what in (end_loss, end_accuracy, gap))
        rows.append((row.name, str(len(tracks)), told(loss), told_share(accuracy), told_share(gaps)))
    if not figures:
        return Section(title="Loss and accuracy", body=(Paragraph("No run file could be read."),))
    words = (
        "The loss is the mean over the batch, whatever the reduction; its scale is logarithmic where it rises to more "
        f"than {BLOWN_UP:g} times its first value."
    )
    caption = (
        "Where the runs ended that came to their end: median over the seeds, least and greatest. The loss is the "
        "median of the last tenth of the steps, the accuracy that on the test images after the last epoch, and the gap "
        "what it is below that on the training images."
    )
    heads = ("cell", "seeds", "loss", "test accuracy", "gap")
    table = Table(caption=caption, heads=heads, rows=tuple(rows), numbers=(1,))
    gallery = Gallery(figures=tuple(figures), legend=training_legend([entry for entry in entries if entry.drawn]))
    return Section(title="Loss and accuracy", body=(Paragraph(words), gallery, table))


def _training(entry: Entry, track: Track, others: tuple[Track, ...], points: int) -> Figure:
    row, words = entry.row, _ended(entry)
    return Figure(
        key=f"{entry.key}-training",
        label=f"Loss{' and accuracy' * has_accuracy((track, *others))} of {row.name} against the step: {words}",
        caption=captioned(row.name, words),
        draw=partial(training_panel, track, row.name, row.verdict, others, points),
        data=partial(_training_data, entry.cell),
    )


def _ended(entry: Entry) -> str:
    """Return where the runs of a cell ended, in words."""
    tracks = entry.cell.tracks
    if len(tracks) == 1:
        return ended(tracks[0])
    statuses = [track.status for track in tracks]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))
    loss, accuracy = (spread(map(what, entry.cell.ended)) for what in (end_loss, end_accuracy))
    words = f"{len(tracks)} seeds, {counts}" + (f": loss {told(loss)}" if entry.cell.ended else "")
    return f"{words}, test accuracy {told_share(accuracy)}" if accuracy.count else words


def broken_off(track: Track) -> str:
    """Return after which step a run broke off, in words; empty where it came to its end."""
    return "" if track.ended else f"; {track.status} after {of(track.step.size, 'step')}"


def ended(track: Track) -> str:
    """Return where a run ended, in words."""
    if not track.step.size:
        return "no step was recorded"
    words = f"{track.status} after {of(track.step.size, 'step')}, loss {told(spread([track.loss[-1]]))}"
    known = track.val_accuracy[np.isfinite(track.val_accuracy)]
    return f"{words}, test accuracy {percent(float(known[-1]))}" if known.size else words


def _training_data(cell: Cell) -> Columns:
    """Return what is drawn: loss and accuracy of each seed at every step, and over the seeds their running medians.

    The test accuracy stands in the rows that end an epoch.
    """
    tracks = {run.judged.get("seed"): run.track for run in cell.runs if run.track}
    step = max((track.step for track in tracks.values()), key=len)
    columns: dict[str, Floats] = {"step": step}
    for seed, track in tracks.items():
        columns[f"loss_seed_{seed}"] = _along(step, track.step, track.loss)
        columns[f"accuracy_seed_{seed}"] = _along(step, track.step, track.accuracy)
        columns[f"test_accuracy_seed_{seed}"] = _along(step, track.epoch_step, track.val_accuracy)
    for name in ("loss", "accuracy"):
        seeds = over_seeds([getattr(track, name) for track in tracks.values()])
        columns[f"{name}_median"] = _along(step, seeds.step, seeds.middle)
        if len(tracks) > 1:
            columns[f"{name}_least"] = _along(step, seeds.step, seeds.low)
            columns[f"{name}_greatest"] = _along(step, seeds.step, seeds.high)
    return {name: values.tolist() for name, values in columns.items()}
