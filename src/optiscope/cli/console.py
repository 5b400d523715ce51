"""Where output goes: results to stdout, everything else to stderr.

A terminal is written to in its own width. Anything else (a pipe, a file) gets whole lines, however long, without
trailing blanks, so that `grep` and `cut` work. rich itself honours NO_COLOR.
"""

from __future__ import annotations

import sys
from typing import IO

from rich.console import Console, RenderableType

UNWRAPPED = 100_000
"""Columns of an output that is no terminal: more than any line needs."""


def open_console(file: IO[str], width: int | None = None) -> Console:
    """Return a console over `file` that takes text as it stands: no markup, no highlighting."""
    if width is None and not file.isatty():
        width = UNWRAPPED
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False)


def stdout() -> Console:
    """Return a console over stdout, for results."""
    return open_console(sys.stdout)


def stderr() -> Console:
    """Return a console over stderr, for everything that is not a result."""
    return open_console(sys.stderr)


def show(console: Console, *renderables: RenderableType) -> None:
    """Print, without trailing blanks where the output is no terminal."""
    if console.is_terminal:
        console.print(*renderables, sep="\n")
        return
    with console.capture() as capture:
        console.print(*renderables, sep="\n", soft_wrap=False)
    for line in capture.get().splitlines():
        console.file.write(line.rstrip() + "\n")
    console.file.flush()


def write_json(document: object) -> None:
    """Write one JSON document to stdout; NaN and infinity, which JSON lacks, are refused by ValueError."""
    import json

    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")
