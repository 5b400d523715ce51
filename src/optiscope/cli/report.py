"""`optiscope report OUT`: write the report, or the card of an optimizer, from the files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import attrs
from cyclopts import Parameter

from optiscope.cli.app import command
from optiscope.cli.options import JSON, OUTPUT, flag
from optiscope.errors import UsageError

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

    _check_finished(out)
    page = write_report(out, form) if card is None else write_card(out, card, form)
    if json:
        console.write_json({"report": str(page), "observers": [attrs.asdict(row) for row in read_observers(out)]})
    else:
        console.show(console.stdout(), str(page))
        console.show(console.stderr(), *tables.observers(out))


def _check_finished(out: Path) -> None:
    """Raise UsageError, with the command that goes on, where `out` holds a reproduction that is not finished."""
    from optiscope.labels import FILE_NAME, reproduction

    if (out / FILE_NAME).exists() or (out / reproduction.FILE_NAME).exists():
        return
    from optiscope.sweep.paper import go_on  # here, because a report needs nothing else of what runs experiments

    if again := go_on(out):
        parts = [str(path.parent) for path in sorted(out.glob(f"*/{FILE_NAME}"))]
        ended = f" (what has ended has reports of its own: {', '.join(parts)})" if parts else ""
        raise UsageError(f"the reproduction in {out} is not finished{ended}: go on with: {again}")


app = command(report)
