"""Writes pages into the folder of a characterization, whole or not at all.

OUT/report.html, OUT/report.md              the report on all cells, or on a reproduction: the paper's figure
OUT/card-NAME.html, OUT/card-NAME.md        the card of one optimizer
OUT/report-figures/*.svg, *.csv             the figures of a page in Markdown, and the data of each
OUT/card-NAME-figures/*.svg, *.csv

Figures are complete beside their folder before the first of them gets its place, so that a full disk costs nothing of
an older report.
"""

from __future__ import annotations

import csv
import io
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from optiscope.config import parse_spelling
from optiscope.errors import UsageError, unknown
from optiscope.labels import read_document
from optiscope.names import names_of
from optiscope.report import html, markdown
from optiscope.report.blocks import Columns, Page, figures
from optiscope.report.card import card_page, read_checks, slug
from optiscope.report.figure6 import figure6_page, is_reproduction
from optiscope.report.inputs import Document, read_cells
from optiscope.report.max_lr import max_lr_sections
from optiscope.report.page import report_page
from optiscope.whole import telling, write_whole

Form = Literal["html", "md"]

NAME = "report"


def write_report(out: Path, form: Form = "html") -> Path:
    """Write `out`/report.html, or report.md, from `out`/characterization.json and its run files; return its path.

    Where there are other files it is about them: max-lr.json has a section of its own, and reproduction.json a page of
    its own, on all parts of the reproduction.

    Raises `UsageError` where `out` holds no characterization, `FileError` where it is damaged or the page cannot be
    written. A run file that is missing or cannot be read is named in the page.
    """
    if is_reproduction(out):
        return _write(out, NAME, figure6_page(out), form)
    document = read_document(out)
    return _write(out, NAME, report_page(document, read_cells(out, document), max_lr_sections(out)), form)


def write_card(out: Path, optimizer: str, form: Form = "html") -> Path:
    """Write the card of one optimizer, `out`/card-NAME.html or card-NAME.md, and return its path.

    It may be spelled with options, "adam(beta1=0.8)", and is then about the cells that have them.

    What is raised is as for `write_report`; UsageError too where `out` has no cell of the optimizer. What
    `optiscope check NAME --json` said is taken from `out`/check-NAME.json, where that is there.
    """
    document = read_document(out)
    cells = _cells_of(document["cells"], optimizer)
    if not cells:
        settings = [{key: cell[key] for key in ("optimizer", "options") if key in cell} for cell in document["cells"]]
        known = [str(cell.get("optimizer")) for cell in document["cells"]]
        raise unknown(f"optimizer in {out}", optimizer, dict.fromkeys((*known, *names_of(settings))))
    chosen = {**document, "cells": cells}
    checks = read_checks(out / f"check-{slug(str(cells[0]['optimizer']))}.json")
    return _write(out, f"card-{slug(optimizer)}", card_page(optimizer, chosen, read_cells(out, chosen), checks), form)


def _cells_of(cells: Sequence[Document], optimizer: str) -> list[Document]:
    """Return the cells of an optimizer of that name, or else of one that is spelled so."""
    if named := [cell for cell in cells if cell.get("optimizer") == optimizer]:
        return named
    try:
        name, own = parse_spelling(optimizer)
    except ValueError:
        return []
    return [cell for cell in cells if cell.get("optimizer") == name and _has(cell, own)]


def _has(cell: Document, own: Mapping[str, Any]) -> bool:
    options = {"lr": cell.get("lr"), **(cell.get("options") or {})}
    return all(options.get(key) == (list(value) if isinstance(value, tuple) else value) for key, value in own.items())


def _write(out: Path, name: str, page: Page, form: Form) -> Path:
    if out.is_file():
        raise UsageError(f"{out} is a file: name the folder that it is in, {out.parent}")
    from optiscope.report.svg import to_file

    path = out / f"{name}.{form}"
    if form == "html":
        write_whole(path, html.render(page))
        return path
    folder = f"{name}-figures"
    with _replacing(out / folder) as new:
        for figure in figures(page.body):
            _save(new / f"{figure.key}.svg", to_file(figure.draw(), figure.label))
            _save(new / f"{figure.key}.csv", to_csv(figure.data()))
        write_whole(path, markdown.render(page, folder))
    return path


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yield a folder for figures, which take the place of those in `folder` at the end; after an error those stay."""
    new = folder.with_name(f".{folder.name}.{os.getpid()}")
    with telling(folder):
        try:
            folder.mkdir(exist_ok=True)
            new.mkdir(exist_ok=True)
            yield new
            written = {path.replace(folder / path.name) for path in list(new.iterdir())}
            for old in {*folder.glob("*.svg"), *folder.glob("*.csv")} - written:
                old.unlink()
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _save(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def to_csv(columns: Columns) -> str:
    """Return columns as CSV, a header and a row for each; what is missing or NaN is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(list(map(_field, row)) for row in zip(*columns.values(), strict=True))
    return text.getvalue()


def _field(value: Any) -> Any:
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return int(value) if value.is_integer() and abs(value) < 1e15 else f"{value:.7g}"
    return "" if value is None else value
