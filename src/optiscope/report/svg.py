"""A figure as SVG that can stand inside an HTML page, beside others.

matplotlib writes a file of its own: a prologue, metadata, identifiers that repeat from figure to figure, and fixed
colours. Here the prologue, metadata and comments go, identifiers get the figure's own prefix, paths keep two
decimals (a hundredth of a point), and each colour of `figures.ROLES` becomes a CSS variable that falls back to
itself.
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


def to_svg(figure: Figure, prefix: str, label: str) -> str:
    """Return the figure as an `<svg>` element.

    `label` is what a screen reader says; `prefix` is unique in the page.
    """
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", body)
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), body)
    for role, colour in ROLES.items():
        body = body.replace(colour, f"var(--{role}, {colour})")
    view = re.search(r'viewBox="[^"]*"', body)
    head = (
        f'<svg xmlns="{SVG}" xmlns:xlink="{XLINK}" {view[0] if view else ""} role="img" aria-label="{escape(label)}">'
    )
    return head + body[body.index(">") + 1 :].strip()
