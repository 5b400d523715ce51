"""The command line: one file a command, and the only room that prints.

    app.py        the commands, each loaded when it is called for
    run.py        `main`: run a command, turn whatever ends it into one line and an exit code
    options.py    what several commands ask for: the grid, plugins, --json
    config_file.py  configuration files
    new_plugin.py  what `optiscope plugins new` writes, from templates/
    console.py    where output goes: results to stdout, everything else to stderr
    live.py       the view of a grid that is running
    tables.py     tables of results

A command function asks the rooms below for what it needs, inside the function, so that `optiscope --help` imports
none of them. It raises `optiscope.errors.OptiscopeError` for what a user can mend and returns None.

What the exit codes mean is said in run.py.
"""

from optiscope.cli.run import main

__all__ = ["main"]
