"""A figure as SVG: inside an HTML page, beside others, or as a file of its own.

matplotlib writes a prologue, metadata, identifiers that repeat from figure to figure, and fixed colours. Here the
prologue, metadata and comments go, and paths keep two decimals (a hundredth of a point). In a page identifiers get the
figure's own prefix, and each colour of `figures.ROLES` becomes a CSS variable that falls back to itself; a file keeps
its colours, on white, because nobody knows what it will be shown on.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

from optiscope.report.figures import ROLES, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
WHITE = '<rect width="100%" height="100%" fill="#ffffff"/>'


def to_svg(figure: Figure, prefix: str, label: str) -> str:
    """Return the figure as an `<svg>` element.

    `label` is what a screen reader says; `prefix` is unique in the page.
    """
    size, body = _drawn(figure)
    body = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", body)
    for role, colour in ROLES.items():
        body = body.replace(colour, f"var(--{role}, {colour})")
    return f"{_head(size, label)}{body}"


def to_file(figure: Figure, label: str) -> str:
    """Return the figure as the text of an SVG file, as large as it was drawn."""
    size, body = _drawn(figure)
    width, height = size.split()[2:]
    head = _head(size, label, f' width="{width}pt" height="{height}pt"')
    return f"{head}{WHITE}{body}\n"


def _head(size: str, label: str, more: str = "") -> str:
    return f'<svg xmlns="{SVG}" xmlns:xlink="{XLINK}" viewBox="{size}"{more} role="img" aria-label="{escape(label)}">'


def _drawn(figure: Figure) -> tuple[str, str]:
    """Return the view box, and what is inside the element."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), body)
    view = re.search(r'viewBox="([^"]*)"', body)
    return view[1] if view else "0 0 1 1", body[body.index(">") + 1 :].strip()
