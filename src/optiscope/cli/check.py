"""`optiscope check MODULE:CLASS`: is this optimizer implemented right?"""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from optiscope.cli.app import command
from optiscope.cli.options import BLOCK, FILES, JSON, PIECES, SET, STRICT, flag, parse_options
from optiscope.errors import unknown

STYLES = {"passed": "green", "failed": "bold red", "warning": "yellow", "fact": ""}

AGAINST = flag(
    PIECES, "What it has to equal: a registered optimizer, or a rule such as 'adam(epsilon=inside)'.", "NAME"
)


def check(
    target: Annotated[str, Parameter(help="MODULE:CLASS, path/to/file.py:CLASS, or a registered optimizer's name.")],
    /,
    *,
    against: Annotated[str | None, AGAINST] = None,
    options: Annotated[tuple[str, ...], SET] = (),
    files: Annotated[tuple[str, ...], FILES] = (),
    block: Annotated[tuple[str, ...], BLOCK] = (),
    strict: Annotated[bool, STRICT] = False,
    json: Annotated[bool, JSON] = False,
) -> int:
    """Say whether an optimizer is implemented right, with one line of why for each check.

    It looks whether the optimizer keeps the promises that the host relies on, whether it optimizes, which symmetries it
    has and what it costs, and which known optimizer it equals, to what precision. The exit code is 1 if a check fails.

    For example:

      optiscope check my_package.optimizers:Mine --set mine.beta=0.8
      optiscope check path/to/file.py:Mine --against adam
    """
    import attrs
    from rich.text import Text

    from optiscope.cli import console, tables
    from optiscope.hooks import create_manager
    from optiscope.testing import Again, Subject, check_all, checked, load

    if "" not in sys.path:
        sys.path.insert(0, "")  # modules of the folder that the command runs in, as with python -m
    host = create_manager(files=files, block=block, strict=strict)
    factory = load(target, host)
    known = {name: piece.factory for name, piece in host.pieces("optimizers").items()}
    if against is not None and (reference := host.find("optimizers", against)):
        known[against] = reference.factory
    given = parse_options(options)
    name = checked(factory, given.get(getattr(factory, "name", ""), {}))
    for other in given:
        if other not in (name, against):
            raise unknown("optimizer in --set", other, {name, *([against] if against else [])})
    subject = Subject(
        factory=factory,
        options=given.get(name, {}),
        known=known,
        against=against,
        against_options=given.get(against or "", {}) if against != name else {},
        again=Again(targets=(target,), files=files, block=block),
    )
    results = check_all(subject)
    failed = [result for result in results if result.outcome == "failed"]
    if json:
        console.write_json(
            {"optimizer": name, "options": subject.options, "results": [attrs.asdict(r) for r in results]}
        )
        return 1 if failed else 0
    table = tables.plain_table("check", "result", "why")
    said: dict[str, str] = {}
    for result in results:
        first = said.setdefault(result.why, result.name)
        why = result.why if first == result.name else f"as {first}"
        table.add_row(result.name, Text(result.outcome, style=STYLES[result.outcome]), why)
    warned = sum(result.outcome == "warning" for result in results)
    console.show(console.stdout(), table)
    console.show(console.stderr(), f"{len(results)} checks of {name}: {len(failed)} failed, {warned} to look at")
    return 1 if failed else 0


app = command(check)
