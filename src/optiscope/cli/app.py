"""The commands of `optiscope`, each named by the module that it is loaded from when it is called for.

Such a module has an `app`, made by `command` from one function or by `group` and filled with several. The help text
is the function's docstring.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from cyclopts import App, Parameter

from optiscope import __version__

HELP = """Say what an optimizer does to the training of a network: stable, unstable or undecided, with the evidence.

Start with 'optiscope characterize': without arguments it trains eight small networks and judges them, in about a
minute. 'optiscope COMMAND --help' says what a command can do.
"""

COMMANDS = {
    "characterize": "Train a grid of runs, record them and judge them.",
    "max-lr": "Find the largest stable learning rate of each optimizer.",
    "reproduce": "Repeat a published experiment, and say how far it bears out its claims.",
    "label": "Judge runs again from their files, without training.",
    "report": "Write report.html: the verdicts, figures and evidence of a grid.",
    "compare": "Say what changed between two characterizations.",
    "check": "Say whether an optimizer is implemented right, with one line of why for each check.",
    "plugins": "Show which plugins are installed, from where, and what they bring.",
    "data": "Fetch, make or verify image data.",
    "file": "Look into run files, check them, save them, or export them.",
}
"""The modules, and what the list of commands says of each; in the order of that list."""


def make_app() -> App:
    """Return the application; nothing is loaded that the command line does not name."""
    app = group("optiscope", HELP, version=__version__)
    for order, (name, text) in enumerate(COMMANDS.items()):
        app.command(f"optiscope.cli.{name.replace('-', '_')}:app", name=name, help=text, sort_key=order)
    return app


def group(name: str, text: str, version: str | None = None) -> App:
    """Return an application for commands: lists are space separated, and no flag has a negative twin."""
    return App(
        name=name,
        help=_reflow(text),
        version=version,
        version_flags=["--version"] if version else [],
        help_format="plaintext",
        default_parameter=Parameter(negative=(), consume_multiple=(1, None), show_default=False),
        suppress_keyboard_interrupt=False,
    )


def command(function: Callable[..., int | None]) -> App:
    """Return an application that is one command, called as `function` is; what it returns is the exit code, None for 0.

    The first paragraph of its docstring stands above the options, the rest, with the examples, below them.
    """
    summary, _, more = (inspect.getdoc(function) or "").partition("\n\n")
    app = group(function.__name__.replace("_", "-"), summary)
    app.help_epilogue = _reflow(more) or None
    app.default(function)
    return app


def _reflow(text: str) -> str:
    """Join the lines of each paragraph that is not indented, so that the terminal's width decides where they break."""
    paragraphs = text.strip("\n").split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in paragraphs)
