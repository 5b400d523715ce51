"""`optiscope plugins`: what is installed, from where, in what state; and `optiscope plugins new`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from optiscope.cli.app import command
from optiscope.cli.options import BLOCK, FILES, JSON, PIECES, STRICT, flag

if TYPE_CHECKING:
    from rich.console import RenderableType

    from optiscope.hooks import PluginState

STYLES = {"active": "green", "blocked": "dim", "broken": "bold red"}
LABELS = 10
"""Columns of the longest label, so that those of all plugins are in line."""


def plugins(
    *,
    files: Annotated[tuple[str, ...], FILES] = (),
    block: Annotated[tuple[str, ...], BLOCK] = (),
    strict: Annotated[bool, STRICT] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Show which plugins are installed, from where, and what they bring.

    A plugin comes with an installed package (entry points of the group 'optiscope') or from a single file. A broken
    one is shown with the reason and leaves the others working. Those that OPTISCOPE_DISABLE_PLUGINS names, separated by
    commas, are not loaded by any command.

    For example:

      optiscope plugins
      optiscope plugins --plugin my_optimizer.py
      optiscope plugins new my-optimizer
    """
    import attrs

    from optiscope.cli import console
    from optiscope.hooks import create_manager, discovery

    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no result
        states = create_manager(files=files, block=block, strict=strict).plugins
    if json:
        console.write_json({"plugins": [attrs.asdict(state) for state in states]})
    else:
        console.show(console.stdout(), *(line for state in states for line in _shown(state)))
    for name in sorted(discovery.disabled() - {state.name for state in states}):
        console.show(console.stderr(), f"{discovery.DISABLE} names '{name}', and there is no such plugin.")


def new(
    name: Annotated[str, Parameter(help="The new plugin's name, and its folder's: my-optimizer, say.")],
    /,
    *,
    kind: Annotated[
        Literal["optimizer", "recorder", "analyzer", "executor"], flag(PIECES, "What it brings.", default=True)
    ] = "optimizer",
) -> None:
    """Write a package with a plugin in it that works: a start for one of your own.

    It is a folder with a pyproject.toml, one short module, its test and a README.

    For example:

      optiscope plugins new my-optimizer
      optiscope plugins new my-signal --kind recorder
    """
    import importlib.util
    import os
    from pathlib import Path

    from optiscope.cli import console
    from optiscope.cli.new_plugin import check_name, package_files, what_next
    from optiscope.hooks import create_manager
    from optiscope.whole import write_folder

    with contextlib.redirect_stdout(sys.stderr):
        check_name(name, create_manager().plugins)
    write_folder(Path(name), package_files(name, kind))
    console.show(console.stdout(), name)
    run_by_uv = "UV" in os.environ  # which sets it for what it runs
    no_pip = importlib.util.find_spec("pip") is None  # as in environments that uv makes
    lines = what_next(name, name, kind, "uv pip" if run_by_uv or no_pip else "python -m pip", run_by_uv)
    console.show(console.stderr(), "What next:", *(f"  {line}" for line in lines))


def _shown(state: PluginState) -> Iterator[RenderableType]:
    """Yield how a plugin is shown: name, version and state, and below them what else is known, a line each."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from optiscope.hooks import KINDS

    yield Text.assemble((state.name, "bold"), f" {state.version} ", (state.state, STYLES[state.state]))
    facts = {"why": state.why, "from": state.origin}
    for noun in KINDS.values():
        facts[f"{noun}s"] = ", ".join(_after(f"{noun} ", state.registers))
    facts["hooks"] = ", ".join(name for name in state.registers if name.startswith("on_"))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=LABELS, no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, fact in facts.items():
        if fact:
            table.add_row(label, fact)
    yield Padding(table, (0, 0, 0, 2))


def _after(prefix: str, texts: tuple[str, ...]) -> list[str]:
    """Return what follows `prefix` in those that begin with it."""
    return [text.removeprefix(prefix) for text in texts if text.startswith(prefix)]


app = command(plugins)
app.command(command(new))
