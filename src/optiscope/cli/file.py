"""`optiscope file info`: look into a run file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from optiscope.cli.app import command, group
from optiscope.cli.options import JSON


def info(
    path: Annotated[Path, Parameter(help="A run file, OUT/runs/NAME.h5; it may still be written.")],
    /,
    *,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Say what run a file holds, how far it has come, and what was recorded.

    For example:

      optiscope file info OUT/runs/NAME.h5
    """
    raise NotImplementedError


app = group("file", "Look into a run file.")
app.command(command(info))
