"""`optiscope report OUT`: write the report, or the card of an optimizer, from the files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import attrs
from cyclopts import Parameter

from optiscope.cli.app import command
from optiscope.cli.options import JSON, OUTPUT, flag

CARD = flag(OUTPUT, "Write the card of this optimizer, or of 'adam(beta1=0.8)', in place of the report.", "NAME")
FORM = flag(OUTPUT, "'md' is Markdown, with figures as SVG and their data as CSV.", default=True, name="--format")


def report(
    out: Annotated[Path, Parameter(help="A folder that 'optiscope characterize' wrote.")],
    /,
    *,
    card: Annotated[str | None, CARD] = None,
    form: Annotated[Literal["html", "md"], FORM] = "html",
    json: Annotated[bool, JSON] = False,
) -> None:
    """Write report.html: the verdicts, figures and evidence of a grid.

    It is one page that needs nothing else, drawn from the files of the folder OUT. What observing the runs cost
    stands in it, and on stderr. With --card it is card-NAME.html, one page on one optimizer: where it is stable, how
    much learning rate and batch size matter, how it fails, what it costs.

    For example:

      optiscope report study
      optiscope report study --format md
      optiscope report study --card adam
    """
    from optiscope.cli import console, tables
    from optiscope.report import read_observers, write_card, write_report

    page = write_report(out, form) if card is None else write_card(out, card, form)
    if json:
        console.write_json({"report": str(page), "observers": [attrs.asdict(row) for row in read_observers(out)]})
    else:
        console.show(console.stdout(), str(page))
        console.show(console.stderr(), *tables.observers(out))


app = command(report)
