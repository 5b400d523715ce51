"""The page: what was found, then the figures, then the evidence a cell at a time.

Everything is inline: styles, figures as SVG, no script, no network. The order is that of a reader in a hurry: the
verdicts; the signals that they rest on, all panels side by side as in the seed paper's Figure 6; whether the runs
trained; and last, folded away, each analyzer's numbers, the configuration and the command that makes it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import attrs

from optiscope.labels import read_document
from optiscope.report.elements import Child, Html, element
from optiscope.report.inputs import BAND, Cell, Document, RunFile, Track, read_cells
from optiscope.report.observers import observer_rows
from optiscope.report.tables import VerdictRow, analyzer_rows, command, number, verdict_rows
from optiscope.whole import write_whole

NAME = "report.html"

_LEGEND = (
    (
        "5 % quantile of the logits of 50 images of the batch",
        '<path d="M0 8h28" stroke="var(--signal)" stroke-width="2"/>',
    ),
    ("minimum over the whole batch", '<path d="M0 8h28" stroke="var(--minimum)" stroke-width="2"/>'),
    (
        "lower envelope as it is judged, in logits: running median in units of the running spread, "
        f"\N{PLUS-MINUS SIGN} {BAND:g} robust standard deviations",
        '<path d="M0 2h28v12H0z" fill="var(--median)" opacity=".25"/>'
        '<path d="M0 8h28" stroke="var(--median)" stroke-width="3"/>',
    ),
    (
        "the same curve of other seeds",
        '<path d="M0 8h28" stroke="var(--muted)" stroke-width="2" stroke-dasharray="5 3"/>',
    ),
    ("burn-in, not judged", '<path d="M0 0h28v16H0z" fill="var(--muted)" opacity=".2"/>'),
    (
        "first alarm",
        '<path d="M14 2v14" stroke="var(--alarm)" stroke-width="1.5" stroke-dasharray="4 2"/>'
        '<path d="M8 0h12l-6 8z" fill="var(--alarm)"/>',
    ),
)


@attrs.frozen(kw_only=True, eq=False)
class _Entry:
    """A cell with its words, and the identifier that links its places in the page."""

    cell: Cell
    row: VerdictRow
    key: str


def write_report(out: Path) -> Path:
    """Write `out`/report.html from `out`/characterization.json and the run files that it names, and return its path.

    Raises `UsageError` where `out` holds no characterization, `FileError` where it is damaged or the page cannot be
    written. A run file that is missing or cannot be read is named in the page.
    """
    document = read_document(out)
    path = out / NAME
    page = render_page(document, read_cells(out, document))
    write_whole(path, page)
    return path


def render_page(document: Document, cells: Iterable[Cell]) -> str:
    """Return the whole page as HTML text."""
    entries = [
        _Entry(cell=cell, row=row, key=f"cell-{count}")
        for count, (cell, row) in enumerate(zip(cells, verdict_rows(document), strict=True), start=1)
    ]
    styles = files("optiscope.report").joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "optiscope: what the optimizers did to training"),
        element("style", Html(styles)),
    )
    main = element(
        "main",
        element("h1", "What the optimizers did to training"),
        element("p", _summary(entries)),
        _unreadable(document),
        _lost(document),
        _verdicts(entries),
        _signals(entries),
        _training(entries),
        element("h2", "Evidence", id="evidence"),
        [_evidence(entry) for entry in entries],
        _observers(entries),
        _origin(document, entries),
    )
    return "<!DOCTYPE html>\n" + element("html", head, element("body", main), lang="en") + "\n"


def _summary(entries: list[_Entry]) -> str:
    verdicts = [entry.row.verdict for entry in entries]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts), key=_rank))
    runs = sum(len(entry.cell.runs) for entry in entries)
    optimizers = ", ".join(dict.fromkeys(entry.row.optimizer for entry in entries))
    return f"{_of(len(entries), 'cell')} of {optimizers} in {_of(runs, 'run')}: {counts or 'nothing was judged'}."


def _unreadable(document: Document) -> Child:
    """Name the files that are in no cell because they could not be read as runs."""
    whys = [str(each.get("why")) for each in document.get("unreadable") or ()]
    if not whys:
        return ""
    head = element("p", f"{_of(len(whys), 'file')} could not be read, left out of all cells:")
    return element("section", head, element("ul", [element("li", why) for why in whys]), aria_label="Unreadable files")


def _lost(document: Document) -> Child:
    """Name the runs that came to no end, because their worker failed and did so again."""
    lost = [f"{each.get('run_id')}: {each.get('why')}" for each in document.get("lost") or ()]
    if not lost:
        return ""
    head = element("p", f"{_of(len(lost), 'run')} came to no end:")
    return element("section", head, element("ul", [element("li", why) for why in lost]), aria_label="Lost runs")


def _rank(verdict: str) -> tuple[int, str]:
    known = ("stable", "unstable", "undecided")
    return (known.index(verdict) if verdict in known else len(known), verdict)


def _of(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _table(caption: str, heads: Iterable[str], rows: Iterable[tuple[Child, ...]], numbers: Iterable[int] = ()) -> Html:
    """Return a table whose first column heads its rows; on a phone each cell is preceded by its column's name.

    The explicit roles keep it a table for screen readers where the style sheet stacks its cells.
    """
    heads, right = list(heads), set(numbers)
    kinds = ["number" if column in right else "why" if name == "why" else None for column, name in enumerate(heads)]
    head = [
        element("th", name, scope="col", role="columnheader", class_=kind)
        for name, kind in zip(heads, kinds, strict=True)
    ]
    body = []
    for first, *rest in rows:
        cells = [element("th", first, scope="row", role="rowheader", class_=kinds[0])]
        for name, kind, value in zip(heads[1:], kinds[1:], rest, strict=True):
            cells.append(element("td", value, role="cell", class_=kind, data_label=name))
        body.append(element("tr", cells, role="row"))
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head, role="row"), role="rowgroup"),
        element("tbody", body, role="rowgroup"),
        role="table",
    )


def _verdict(verdict: str) -> Html:
    kind = verdict if verdict in ("stable", "unstable", "undecided") else ""
    return element("span", verdict, class_=f"verdict {kind}".strip())


def _verdicts(entries: list[_Entry]) -> Html:
    rows = [
        (
            element("a", entry.row.optimizer, href=f"#{entry.key}-signal", aria_label=f"signal of {entry.row.name}"),
            entry.row.batch_size,
            entry.row.lr,
            entry.row.reduction,
            _verdict(entry.row.verdict),
            element("span", entry.row.p_unstable, " ", element("span", f"{entry.row.runs}", class_="muted")),
            entry.row.why,
        )
        for entry in entries
    ]
    heads = ("optimizer", "batch", "lr", "reduction", "verdict", "P(unstable)", "why")
    caption = (
        "P(unstable): the mean, then the 95 % Jeffreys interval over the seeds. An optimizer's name leads to its panel."
    )
    return element("section", element("h2", "Verdicts"), _table(caption, heads, rows, (1, 2)), aria_label="Verdicts")


def _signals(entries: list[_Entry]) -> Html:
    from optiscope.report.figures import OUTLIER, shared_limits, signal_panel

    drawn: dict[str, dict[str, Track]] = {}
    for entry in entries:
        if (run := entry.cell.shown) and run.track:
            drawn.setdefault(entry.row.optimizer, {})[entry.key] = run.track
    limits = {
        key: shared
        for tracks in drawn.values()
        for key, shared in zip(tracks, shared_limits(tuple(tracks.values())), strict=True)
    }
    cards = []
    for entry in entries:
        run = entry.cell.shown
        if run is None or run.track is None:
            cards.append(_gap(entry))
            continue
        others = [other.track for other in entry.cell.runs if other is not run and other.track]
        figure = signal_panel(run.track, entry.row.name, entry.row.verdict, limits[entry.key], others)
        label = f"Signal of {entry.row.name} against the step: {entry.row.verdict}. {entry.row.why}"
        cards.append(_card(figure, f"{entry.key}-signal", label, _caption(entry, run)))
    legend = element(
        "ul",
        [
            element("li", Html(f'<svg viewBox="0 0 28 16" aria-hidden="true">{mark}</svg>'), text)
            for text, mark in _LEGEND
        ],
        class_="legend",
    )
    words = (
        "The signal that flows into the output, step by step: Figure 6 of Ando, Fukuhara and Takefuji (2023), as "
        "optiscope draws it. The panels of one optimizer share a linear y scale, except those that say otherwise: a "
        f"run whose values span more than {OUTLIER:g} times the median span has its own, linear up to one and "
        "logarithmic beyond."
    )
    return element(
        "section", element("h2", "Signal"), element("p", words), legend, element("div", cards, class_="grid")
    )


def _training(entries: list[_Entry]) -> Html:
    from optiscope.report.figures import BLOWN_UP, training_panel

    cards = []
    for entry in entries:
        run = entry.cell.shown
        if run is not None and run.track is not None:
            figure = training_panel(run.track, entry.row.name, entry.row.verdict)
            label = f"Loss and accuracy of {entry.row.name} against the step: {_last(run)}"
            cards.append(_card(figure, f"{entry.key}-training", label, _last(run)))
    words = (
        "Grey: each training batch. Blue: its running median over 51 steps. Orange: all test images, after each epoch. "
        "The loss is the mean over the batch, whatever the reduction; its scale is logarithmic where it rises to more "
        f"than {BLOWN_UP:g} times its first value."
    )
    body = element("div", cards, class_="grid") if cards else element("p", "No run file could be read.")
    return element("section", element("h2", "Loss and accuracy"), element("p", words), body)


def _last(run: RunFile) -> str:
    """Return where a run ended, in words."""
    track = run.track
    if track is None or not track.step.size:
        return "no step was recorded"
    words = f"{track.status} after {_of(track.step.size, 'step')}, loss {number(float(track.loss[-1]))}"
    known = track.val_accuracy[track.val_accuracy == track.val_accuracy]
    return f"{words}, test accuracy {float(known[-1]):.1%}" if known.size else words


def _card(figure: object, key: str, label: str, caption: Child) -> Html:
    from matplotlib.figure import Figure

    from optiscope.report.svg import to_svg

    assert isinstance(figure, Figure)
    return element("figure", Html(to_svg(figure, key, label)), element("figcaption", caption), id=key, class_="card")


def _gap(entry: _Entry) -> Html:
    why = [run.missing for run in entry.cell.runs if run.missing] or ["no run of this cell was recorded"]
    caption = (element("strong", entry.row.name), " ", _verdict(entry.row.verdict), ". ", "; ".join(why))
    return element("figure", element("figcaption", caption), id=f"{entry.key}-signal", class_="card")


def _caption(entry: _Entry, run: RunFile) -> Child:
    seed = f"seed {run.judged.get('seed')}, " if len(entry.cell.runs) > 1 else ""
    return (seed, element("a", "evidence", href=f"#{entry.key}", aria_label=f"evidence for {entry.row.name}"))


def _evidence(entry: _Entry) -> Html:
    head = element("h3", entry.row.name, ": ", _verdict(entry.row.verdict))
    configs = [config for run in entry.cell.runs if (config := _asked(run))]
    several = len(entry.cell.runs) > 1
    parts: list[Child] = [head, element("p", entry.row.why) if several else ""]
    parts += [_run(run, unfolded=run is (entry.cell.shown or entry.cell.runs[0])) for run in entry.cell.runs]
    if configs:
        text = json.dumps(dict(entry.cell.runs[0].config), indent=1, sort_keys=True, default=str)
        parts += [
            element("h4", "This cell once more"),
            element("pre", command(configs)),
            element("details", element("summary", "configuration of its first run"), element("pre", text)),
        ]
    return element("section", parts, id=entry.key, class_="card", aria_label=f"Evidence for {entry.row.name}")


def _run(run: RunFile, unfolded: bool) -> Html:
    judged = run.judged
    rows = [
        (row.name, row.statistic, row.threshold, row.result, row.why, row.rule_version) for row in analyzer_rows(judged)
    ]
    axes = ", ".join(f"{axis} {judged[axis]}" for axis in ("outcome", "dynamics", "signal") if judged.get(axis))
    title = element(
        "summary",
        f"seed {judged.get('seed')}: ",
        _verdict(str(judged.get("verdict"))),
        f" ({axes})" if axes else "",
        f": {judged['why']}" if judged.get("why") else "",
    )
    heads = ("analyzer", "statistic", "threshold", "result", "why", "rule")
    caption = f"Run {judged.get('run_id')}, status {judged.get('status')}, file {judged.get('path')}"
    body: list[Child] = [_table(caption, heads, rows, (1, 2))]
    if run.missing:
        body.append(element("p", f"Not drawn: {run.missing}"))
    return element("details", title, body, open="" if unfolded else None)


def _observers(entries: list[_Entry]) -> Child:
    runs = [run for entry in entries for run in entry.cell.runs]
    rows = [row.words for row in observer_rows((run.observer_time, run.wall_time) for run in runs)]
    if not rows:
        return ""
    caption = "What recorders, plugins' hooks and the writing of the files took of the time of all runs."
    thin = {name: factor for run in runs for name, factor in (_asked(run).get("thin") or {}).items()}
    words = "Thinned: " + ", ".join(f"{name}, one row in {factor}" for name, factor in thin.items()) + "."
    return element(
        "section",
        element("h2", "Cost of observing"),
        element("p", words) if thin else "",
        _table(caption, ("observer", "time", "share"), rows, (1, 2)),
        aria_label="Cost of observing",
    )


def _asked(run: RunFile) -> Document:
    """Return the `RunConfig` of a run as a mapping, empty where the file is missing."""
    asked: Document = run.config.get("config", {})
    return asked


def _origin(document: Document, entries: list[_Entry]) -> Html:
    configs = [config for entry in entries for run in entry.cell.runs if (config := _asked(run))]
    versions = document.get("versions") or {}
    rows = [(str(name), str(version)) for name, version in sorted(versions.items())]
    parts: list[Child] = [element("h2", "Made with")]
    if configs:
        parts += [element("p", "All of it once more:"), element("pre", command(configs))]
    if rows:
        parts.append(_table("versions of what made the characterization", ("name", "version"), rows))
    return element("section", parts)
