"""A page as HTML: one text that opens from disk, with styles and figures in it, no script and no network.

It follows the light or dark setting of the reader's system, can be read on a phone (tables are stacked there, by
page.css), and says in words what its figures show.
"""

from __future__ import annotations

from importlib.resources import files

from optiscope.markup import Child, Html, element
from optiscope.report.blocks import (
    Block,
    Bullets,
    Code,
    Figure,
    Folded,
    Gallery,
    Gap,
    Link,
    Mark,
    Muted,
    Page,
    Paragraph,
    Section,
    Table,
    Text,
    Verdict,
)

VERDICTS = ("stable", "unstable", "undecided")

MARKS: dict[Mark, str] = {
    "signal": '<path d="M0 8h28" stroke="var(--signal)" stroke-width="2"/>',
    "minimum": '<path d="M0 8h28" stroke="var(--minimum)" stroke-width="2"/>',
    "envelope": '<path d="M0 2h28v12H0z" fill="var(--median)" opacity=".25"/>'
    '<path d="M0 8h28" stroke="var(--median)" stroke-width="3"/>',
    "other": '<path d="M0 8h28" stroke="var(--muted)" stroke-width="2" stroke-dasharray="5 3"/>',
    "burn-in": '<path d="M0 0h28v16H0z" fill="var(--muted)" opacity=".2"/>',
    "alarm": '<path d="M4 3h20" stroke="var(--alarm)" stroke-width="2"/>'
    '<path d="M14 5v11" stroke="var(--alarm)" stroke-width="1.5" stroke-dasharray="4 2"/>'
    '<path d="M10 3h8l-4 5z" fill="var(--alarm)"/>',
    "spread": '<path d="M0 2h28v12H0z" fill="var(--signal)" opacity=".3"/>'
    '<path d="M0 8h28" stroke="var(--signal)" stroke-width="2"/>',
    "test": '<path d="M0 8h28M14 3v10" stroke="var(--median)" stroke-width="2"/>'
    '<circle cx="14" cy="8" r="3.5" fill="var(--median)"/>',
    "interval": '<path d="M14 0v16" stroke="var(--undecided)" stroke-width="2"/>'
    '<circle cx="14" cy="8" r="3.5" fill="var(--undecided)"/>',
    "theory": '<path d="M14 0v16" stroke="var(--ink)" stroke-width="2" stroke-dasharray="2 2"/>',
    "outcomes": '<circle cx="4" cy="8" r="3.5" fill="var(--stable)"/>'
    '<path d="M14 4l4 4l-4 4l-4-4z" fill="var(--undecided)"/>'
    '<path d="M21 5l6 6M27 5l-6 6" stroke="var(--alarm)" stroke-width="2.5"/>',
}


def render(page: Page) -> str:
    """Return the whole page as text."""
    styles = files("optiscope.report").joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", page.title),
        element("style", Html(styles)),
    )
    main = element("main", element("h1", page.heading), list(map(_block, page.body)))
    return "<!DOCTYPE html>\n" + element("html", head, element("body", main), lang="en") + "\n"


def _block(block: Block) -> Html:
    match block:
        case Paragraph():
            return element("p", _text(block.text))
        case Bullets():
            return element("ul", [element("li", _text(item)) for item in block.items])
        case Code():
            return element("pre", block.text)
        case Table():
            return _table(block)
        case Gallery():
            return _gallery(block)
        case Folded():
            opened = "" if block.unfolded else None
            return element(
                "details", element("summary", _text(block.summary)), list(map(_block, block.body)), open=opened
            )
        case Section():
            return element(
                "section",
                element(f"h{block.level}", _text(block.title)),
                list(map(_block, block.body)),
                id=block.key or None,
                class_="card" if block.level > 2 else None,
                aria_label=block.label or None,
            )


def _text(text: Text) -> Child:
    match text:
        case tuple():
            return list(map(_text, text))
        case Verdict():
            kind = text.word if text.word in VERDICTS else ""
            return element("span", text.word, class_=f"verdict {kind}".strip())
        case Muted():
            return element("span", text.text, class_="muted")
        case Link():
            return element("a", text.text, href=f"#{text.to}", aria_label=text.label or None)
        case str():
            return text


def _table(table: Table) -> Html:
    """Return a table whose first column heads its rows; on a phone each cell is preceded by its column's name.

    The explicit roles keep it a table for screen readers where the style sheet stacks its cells.
    """
    heads = table.heads
    kinds = ["number" if at in table.numbers else "why" if name == "why" else None for at, name in enumerate(heads)]
    head = [
        element("th", name, scope="col", role="columnheader", class_=kind)
        for name, kind in zip(heads, kinds, strict=True)
    ]
    body = []
    for first, *rest in table.rows:
        cells = [element("th", _text(first), scope="row", role="rowheader", class_=kinds[0])]
        for name, kind, value in zip(heads[1:], kinds[1:], rest, strict=True):
            cells.append(element("td", _text(value), role="cell", class_=kind, data_label=name))
        body.append(element("tr", cells, role="row"))
    return element(
        "table",
        element("caption", _text(table.caption)),
        element("thead", element("tr", head, role="row"), role="rowgroup"),
        element("tbody", body, role="rowgroup"),
        role="table",
    )


def _gallery(gallery: Gallery) -> Html:
    legend = [
        element("li", Html(f'<svg viewBox="0 0 28 16" aria-hidden="true">{MARKS[mark]}</svg>'), text)
        for mark, text in gallery.legend
    ]
    cards = element("div", list(map(_card, gallery.figures)), class_="grid")
    return Html((element("ul", legend, class_="legend") if legend else "") + cards)


def _card(figure: Figure | Gap) -> Html:
    from optiscope.report.svg import to_svg

    drawn = Html(to_svg(figure.draw(), figure.key, figure.label)) if isinstance(figure, Figure) else ""
    return element("figure", drawn, element("figcaption", _text(figure.caption)), id=figure.key, class_="card")
