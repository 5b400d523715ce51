"""The page of a reproduction: the seed paper's Figure 6, measured, beside what the paper says of each of its panels.

    OUT/PART/characterization.json, OUT/PART/runs/*.h5, OUT/reproduction.json  ->  OUT/report.html

The paper draws SGD at batch sizes 50, 100, 150 and 200 as panels 1 to 4 and Adam as panels 5 to 8. Here that is a row a
setting: four panels that share their scale, for each learning rate of SGD, for each place of Adam's epsilon, for the
methods beside them, and for both reductions. The evidence of a panel is in the report of its part.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

from optiscope.errors import FileError
from optiscope.labels import read_document
from optiscope.labels.claims import BATCH_SIZES, CLAIMS, Family
from optiscope.labels.reproduction import FILE_NAME, MEASURES
from optiscope.report.blocks import Block, Figure, Gallery, Gap, Page, Paragraph, Section, Table, Text, Verdict
from optiscope.report.evidence import Entry
from optiscope.report.inputs import Document, read_cells
from optiscope.report.legends import signal_legend
from optiscope.report.page import broken_off, entries_of, points_for, signal_figures
from optiscope.report.tables import NOTHING, number

FAMILIES: dict[str, Family] = {"sgd": "sgd", "adam": "adam", "adam-inside": "adam"}
"""Which of the paper's optimizers one of ours is."""

PANELS = [(family, size) for family in ("sgd", "adam") for size in BATCH_SIZES]
"""The panels of the paper's figure, in its order."""

REDUCTIONS = {"sum": "gradients summed over the batch", "mean": "gradients averaged over the batch"}
ORDER = ("sgd", "adam", "others")
LETTERS = "ABCD"


def is_reproduction(out: Path) -> bool:
    """Say whether `out` is the folder of a reproduction, and not that of a characterization."""
    return (out / FILE_NAME).exists()


def figure6_page(out: Path) -> Page:
    """Return the page on the reproduction in `out`; FileError where what it holds is damaged."""
    parts = sorted((path.parent for path in out.glob("*/characterization.json")), key=_place)
    entries = {part.name: _entries(part) for part in parts}
    every = [entry for found in entries.values() for entry in found]
    points = points_for(every)
    sections = [_part(part, found, points) for part, found in entries.items()]
    words = (
        "Figure 6 of Ando, Fukuhara and Takefuji (2023) shows the signal that flows into the output of a network that "
        "SGD (panels 1 to 4) and Adam (5 to 8) train at batch sizes 50, 100, 150 and 200. Here it is measured in every "
        "setting that the paper leaves open, a row each. Below a panel stand its verdict, the runs that were unstable "
        "of those that were decided, and what the paper calls that panel in each of the four places that say so. "
        "The panels of a row share their scale unless one says otherwise."
    )
    legend = Gallery(figures=(), legend=signal_legend(every))
    document = _document(out)
    body = (Paragraph(words), _claims(), *_agreements(document), _steps(document), legend, *sections)
    return Page(title="optiscope: the paper's Figure 6", heading="Figure 6 of the seed paper, measured", body=body)


def _place(part: Path) -> tuple[bool, int, str]:
    """Return where a part stands: gradients that are summed first, and SGD before Adam before the others."""
    family, _, reduction = part.name.partition("-")
    return reduction != "sum", ORDER.index(family) if family in ORDER else len(ORDER), part.name


def _entries(part: Path) -> tuple[Entry, ...]:
    document = read_document(part)
    entries = entries_of(document, read_cells(part, document))
    return tuple(attrs.evolve(entry, key=f"{part.name}-{entry.key}") for entry in entries)


def _document(out: Path) -> Document:
    path = out / FILE_NAME
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
        list(document["settings"]), str(document["boundary"]["told"]), dict(document["effective_step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(
            f"{path} is damaged ({error}): write it anew with 'optiscope reproduce paper --resume'"
        ) from error
    return document


def _claims() -> Block:
    """Return what the paper calls each of its panels, a row a place that says so."""
    rows = tuple(
        (f"{letter}  {claim}", *(_said(claim, family, size) for family, size in PANELS))
        for letter, claim in zip(LETTERS, CLAIMS, strict=True)
    )
    heads = ("the paper in", *(f"{at}: {family} {size}" for at, (family, size) in enumerate(PANELS, start=1)))
    caption = "What the paper says of its eight panels, in four places that contradict one another."
    return Section(title="What the paper says", body=(Table(caption=caption, heads=heads, rows=rows),))


def _said(claim: str, family: Any, size: int) -> Text:
    unstable = CLAIMS[claim].get((family, size))
    return NOTHING if unstable is None else Verdict("unstable" if unstable else "stable")


def _agreements(document: Document) -> Iterable[Block]:
    """Yield how far each place agrees with what was measured, for every setting."""
    rows = tuple(
        (str(each["reduction"]), number(each["lr"]), str(each["epsilon"]), *map(_share, each["agreements"]))
        for each in document["settings"]
    )
    if rows:
        caption = (
            "The share of the claimed cells that a new seed would bear out, with its 95 % interval, and after the "
            "semicolon what the same claims would reach by chance, shuffled over the cells."
        )
        table = Table(caption=caption, heads=("loss", "SGD's lr", "Adam's epsilon", *LETTERS), rows=rows, numbers=(1,))
        yield Section(title="How far it agrees", body=(table,))


def _steps(document: Document) -> Block:
    """Return whether what batch size does to SGD is an effect of the effective step."""
    rows = tuple(
        (MEASURES.get(name, name), *map(_distance, (each["seeds"], each["along"], each["across"])), str(each["says"]))
        for name, each in document["effective_step"].items()
    )
    heads = ("distance of two runs in", "between seeds", "at equal B x lr", "at equal lr", "says")
    caption = "How far two runs of SGD are apart, gradients summed, that differ in the seed or in the batch size B."
    table = Table(caption=caption, heads=heads, rows=rows, numbers=(1, 2, 3))
    body = (table, Paragraph(f"By the verdicts of SGD: {document['boundary']['told']}"))
    return Section(title="Batch size and the effective step", body=body)


def _distance(value: float | None) -> Text:
    return NOTHING if value is None else f"{value:.3f}"


def _share(one: Document) -> str:
    return f"{one['mean']:.2f} ({one['low']:.2f} to {one['high']:.2f}; {one['chance']:.2f})"


def _part(part: str, entries: Sequence[Entry], points: int) -> Block:
    """Return the rows of a part: the panels of each setting by batch size."""
    rows: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        rows.setdefault((entry.row.optimizer, entry.row.lr), []).append(entry)
    reduction = part.rpartition("-")[2]
    names = ", ".join(dict.fromkeys(optimizer for optimizer, _ in rows))
    body: list[Block] = [Paragraph(f"Evidence, loss and accuracy: {part}/report.html.")]
    for (optimizer, lr), row in rows.items():
        row.sort(key=lambda entry: int(entry.cell.judged["batch_size"]))
        figures = tuple(map(_captioned, signal_figures(row, points), row))
        title = f"{optimizer}, lr {lr}, {reduction}"
        body.append(Section(title=title, body=(Gallery(figures=figures),), level=3, label=title))
    return Section(title=f"{names}: {REDUCTIONS.get(reduction, reduction)}", body=tuple(body), key=part)


def _captioned(figure: Figure | Gap, entry: Entry) -> Figure | Gap:
    """Return a panel with what was measured below it, and what the paper says of it."""
    if isinstance(figure, Gap):
        return figure
    family, size = FAMILIES.get(str(entry.cell.judged["optimizer"])), int(entry.cell.judged["batch_size"])
    run = entry.cell.shown
    caption: list[Text] = [Verdict(entry.row.verdict), f", {entry.row.runs}"]
    caption += [broken_off(run.track)] if run and run.track else []
    if family is not None and (family, size) in PANELS:
        caption.append(f"; panel {1 + PANELS.index((family, size))} of the paper: ")
        said = zip(LETTERS, CLAIMS, strict=True)
        caption += [part for letter, claim in said for part in (f"{letter} ", _said(claim, family, size), ", ")][:-1]
    return attrs.evolve(figure, caption=tuple(caption))
