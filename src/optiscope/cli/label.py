"""`optiscope label OUT`: judge again from the files, without training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from optiscope.cli.app import command
from optiscope.cli.options import BLOCK, FILES, JSON, STRICT


def label(
    out: Annotated[Path, Parameter(help="A folder that 'optiscope characterize' wrote.")],
    /,
    *,
    files: Annotated[tuple[str, ...], FILES] = (),
    block: Annotated[tuple[str, ...], BLOCK] = (),
    strict: Annotated[bool, STRICT] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Judge a grid of runs again from its files, without training.

    Use it when the rules have changed, or with a plugin that brings an analyzer. characterization.json is written
    anew; the recordings stay as they are, and so does report.html until 'optiscope report OUT'.
    """
    from optiscope.cli import console, tables
    from optiscope.hooks import create_manager
    from optiscope.labels import label_folder

    host = create_manager(files=files, block=block, strict=strict)
    analyzers = tuple(host.build("analyzers", name, {}) for name in host.pieces("analyzers"))
    result = label_folder(out, analyzers)
    path = result.write(out)
    if json:
        sys.stdout.write(path.read_text(encoding="utf-8"))
    else:
        console.show(console.stdout(), tables.verdicts(result))
        console.show(console.stderr(), f"Written to {path}.")


app = command(label)
