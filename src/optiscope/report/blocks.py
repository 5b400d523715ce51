"""What a page is made of, before it is HTML or Markdown.

`page` and `card` say what there is to say, once, as frozen values: sections, paragraphs, tables, figures. `html` and
`markdown` say it in their own way, and escape every text in it. A figure is a promise: it is drawn when its turn
comes, one after the other, so that a page of hundreds holds one at a time; and it has its data beside it, as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Columns = Mapping[str, Sequence[Any]]
"""A table of data: columns of one length by name; NaN and None are empty fields."""


@attrs.frozen
class Verdict:
    """One of the words stable, unstable and undecided, in its colour."""

    word: str


@attrs.frozen
class Muted:
    """Text that is less important than what stands beside it."""

    text: str


@attrs.frozen
class Link:
    """Text that leads to the block with the key `to`; `label` is what a screen reader says in its place."""

    text: str
    to: str
    label: str = ""


Text = str | Verdict | Muted | Link | tuple["Text", ...]


@attrs.frozen
class Paragraph:
    """Text."""

    text: Text


@attrs.frozen
class Bullets:
    """A list of texts."""

    items: tuple[Text, ...]


@attrs.frozen
class Code:
    """Text to be copied: a command, a configuration."""

    text: str


@attrs.frozen(kw_only=True)
class Table:
    """Rows under `heads`; the first column heads its row, and those in `numbers` are numbers, counted from 0."""

    caption: Text
    heads: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    numbers: tuple[int, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Figure:
    """What `draw` returns, with its `data`; `label` says in words what it shows, and `key` names it in the page."""

    key: str
    label: str
    caption: Text
    draw: Callable[[], Drawing]
    data: Callable[[], Columns]


@attrs.frozen(kw_only=True)
class Gap:
    """What stands in the place of a figure that cannot be drawn."""

    key: str
    caption: Text


Mark = Literal[
    "signal", "minimum", "envelope", "other", "burn-in", "alarm", "spread", "test", "interval", "theory", "outcomes"
]
"""What a legend explains; how it looks is up to whoever shows it."""

Legend = tuple[tuple[Mark, str], ...]
"""Marks, each with what it means."""


@attrs.frozen(kw_only=True, eq=False)
class Gallery:
    """Figures side by side, under a legend that explains their marks."""

    figures: tuple[Figure | Gap, ...]
    legend: Legend = ()


@attrs.frozen(kw_only=True, eq=False)
class Folded:
    """Blocks behind a line that opens them; `unfolded` ones are open from the start."""

    summary: Text
    body: tuple[Block, ...]
    unfolded: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Section:
    """Blocks under a heading: `level` 2 for a part of the page, 3 for a part of a part, which stands on a card."""

    title: Text
    body: tuple[Block, ...]
    key: str = ""
    level: Literal[2, 3] = 2
    label: str = ""


Block = Paragraph | Bullets | Code | Table | Gallery | Folded | Section


@attrs.frozen(kw_only=True, eq=False)
class Page:
    """A page: `title` is that of the window, `heading` the first line."""

    title: str
    heading: str
    body: tuple[Block, ...]


def plain(text: Text) -> str:
    """Return `text` without its marks."""
    match text:
        case tuple():
            return "".join(map(plain, text))
        case Verdict():
            return text.word
        case Muted() | Link():
            return text.text
        case str():
            return text


def figures(blocks: Sequence[Block]) -> tuple[Figure, ...]:
    """Return all figures among `blocks`, in their order."""
    found: list[Figure] = []
    for block in blocks:
        match block:
            case Gallery():
                found += [each for each in block.figures if isinstance(each, Figure)]
            case Section() | Folded():
                found += figures(block.body)
    return tuple(found)
