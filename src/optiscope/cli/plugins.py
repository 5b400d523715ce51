"""`optiscope plugins`: what is installed, from where, in what state."""

from __future__ import annotations

from typing import Annotated

from optiscope.cli.app import command
from optiscope.cli.options import BLOCK, FILES, JSON, STRICT

STYLES = {"active": "green", "blocked": "dim", "broken": "bold red"}


def plugins(
    *,
    files: Annotated[tuple[str, ...], FILES] = (),
    block: Annotated[tuple[str, ...], BLOCK] = (),
    strict: Annotated[bool, STRICT] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Show which plugins are installed, from where, and what they bring.

    A plugin comes with an installed package (entry points of the group 'optiscope') or from a single file. A broken
    one is shown with the reason and leaves the others working.

    For example:

      optiscope plugins
      optiscope plugins --plugin my_optimizer.py
    """
    import attrs
    from rich.text import Text

    from optiscope.cli import console, tables
    from optiscope.hooks import create_manager

    states = create_manager(files=files, block=block, strict=strict).plugins
    if json:
        console.write_json({"plugins": [attrs.asdict(state) for state in states]})
        return
    table = tables.plain_table("name", "version", "state", "from", "brings")
    for state in states:
        brings = state.why or ", ".join(state.registers)
        table.add_row(state.name, state.version, Text(state.state, style=STYLES[state.state]), state.origin, brings)
    console.show(console.stdout(), table)


app = command(plugins)
