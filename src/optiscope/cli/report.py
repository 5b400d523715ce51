"""`optiscope report OUT`: write report.html from the files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from optiscope.cli.app import command
from optiscope.cli.options import JSON


def report(
    out: Annotated[Path, Parameter(help="A folder that 'optiscope characterize' wrote.")],
    /,
    *,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Write report.html: the verdicts, figures and evidence of a grid.

    It is one page that needs nothing else, drawn from the files of the folder OUT. What observing the runs cost
    stands in it, and on stderr.
    """
    from optiscope.cli import console, tables
    from optiscope.report import read_observers, write_report

    page = write_report(out)
    if json:
        console.write_json({"report": str(page), "observers": [attrs.asdict(row) for row in read_observers(out)]})
    else:
        console.show(console.stdout(), str(page))
        console.show(console.stderr(), *tables.observers(out))


app = command(report)
