"""A page as Markdown (CommonMark, with the tables of GitHub), its figures as files beside it.

Names and reasons are text: whatever Markdown or HTML would make of a character in them is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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
    plain,
)

MARKS: dict[Mark, str] = {
    "signal": "blue line",
    "minimum": "grey line",
    "envelope": "orange line and band",
    "other": "dashed grey lines",
    "burn-in": "grey area",
    "alarm": "red line with a triangle, and red bars",
    "spread": "blue line and band",
    "test": "orange points",
    "interval": "points and bars",
    "theory": "dotted black line",
    "outcomes": "points",
}


def render(page: Page, figures: str) -> str:
    """Return the whole page as text; its figures are `figures`/KEY.svg and their data `figures`/KEY.csv."""
    blocks = [f"# {escape(page.heading)}", *_blocks(page.body, figures)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def escape(text: str) -> str:
    """Return `text` in one line, such that Markdown shows it as it is."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|$~#])", r"\\\1", text)
    return re.sub(r"^([-+=]|\d+[.)])(?=\s|$)", lambda found: f"{found[1][:-1]}\\{found[1][-1]}", text)


def _blocks(blocks: Iterable[Block], figures: str) -> list[str]:
    return [line for block in blocks for line in _block(block, figures)]


def _block(block: Block, figures: str) -> list[str]:
    match block:
        case Paragraph():
            return [_text(block.text)]
        case Bullets():
            return ["\n".join(f"- {_text(item)}" for item in block.items)]
        case Code():
            longest = max(map(len, re.findall(r"`+", block.text)), default=0)
            fence = "`" * max(3, longest + 1)
            return [f"{fence}text\n{block.text}\n{fence}"]
        case Table():
            return [_text(block.caption), _table(block)]
        case Gallery():
            legend = "\n".join(f"- {MARKS[mark]}: {escape(text)}" for mark, text in block.legend)
            return [legend, *(_figure(each, figures) for each in block.figures)]
        case Folded():
            return [f"**{escape(plain(block.summary))}**", *_blocks(block.body, figures)]
        case Section():
            title = f"{'#' * block.level} {_text(block.title)}"
            return [*([_anchor(block.key)] if block.key else []), title, *_blocks(block.body, figures)]


def _anchor(key: str) -> str:
    return f'<a id="{key}"></a>'


def _text(text: Text) -> str:
    match text:
        case tuple():
            return "".join(map(_text, text))
        case Verdict():
            return f"**{escape(text.word)}**"
        case Muted():
            return _spaced(text.text)
        case Link():
            return f"[{escape(text.text)}](#{text.to})"
        case str():
            return _spaced(text)


def _spaced(text: str) -> str:
    """Escape `text`, which stands beside other text: blanks at its ends stay."""
    inner = escape(text)
    if not inner:
        return " " if text else ""
    return f"{' ' if text[:1].isspace() else ''}{inner}{' ' if text[-1:].isspace() else ''}"


def _table(table: Table) -> str:
    rule = ("---:" if at in table.numbers else "---" for at in range(len(table.heads)))
    rows: list[Iterable[str]] = [map(escape, table.heads), rule, *(map(_text, row) for row in table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figure(figure: Figure | Gap, figures: str) -> str:
    caption = _text(figure.caption)
    if isinstance(figure, Gap):
        return f"{_anchor(figure.key)}\n{caption}"
    path = f"{figures}/{figure.key}"
    return f"{_anchor(figure.key)}\n![{escape(figure.label)}]({path}.svg)\n\n{caption} ([data]({path}.csv))"
