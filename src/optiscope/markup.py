"""HTML elements from Python values: text is escaped because it is text, not because somebody remembered to.

Imports nothing of ours, so that every room may show itself: the report as a page, a run file in a notebook.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = ("meta", "link", "br", "hr", "img")


class Html(str):
    """Markup that may go into a page as it stands; every other string is escaped."""

    __slots__ = ()


Child = str | Iterable["Child"]


def render(child: Child) -> Html:
    """Return a child, or all of several, as markup."""
    if isinstance(child, Html):
        return child
    return Html(escape(child)) if isinstance(child, str) else Html("".join(map(render, child)))


def element(name: str, /, *children: Child, **attributes: str | None) -> Html:
    """Return `<name attributes>children</name>`.

    An attribute that is None is left out; an underscore in its name is a hyphen, and one at the end (`class_`) is
    dropped.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(value)}"')
    start = f"<{' '.join(words)}>"
    return Html(start if name in VOID else f"{start}{render(children)}</{name}>")
