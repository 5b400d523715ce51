"""What `optiscope plugins new` writes: a package with one small, complete piece of the kind that was asked for.

The folder templates/ holds it as a package called my-plugin: a module and its test for each kind, and what all kinds
share. Those are Python files like any other, so that they are linted and type-checked as they stand. Making a package
is putting its name in the place of that one.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from optiscope.errors import UsageError

if TYPE_CHECKING:
    from optiscope.hooks import PluginState

TEMPLATES = Path(__file__).with_name("templates")

TRY = {
    "optimizer": ("optiscope check {name}", "optiscope characterize --optimizers {name}"),
    "recorder": ("optiscope characterize",),
    "analyzer": ("optiscope label OUT",),
    "executor": ("optiscope characterize --executor {name}",),
}
"""How a piece of each kind is put to use."""


def check_name(name: str, plugins: Iterable[PluginState]) -> None:
    """Raise UsageError unless `name` can be that of a new package, plugin and piece beside `plugins`."""
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(module):
        raise UsageError(
            f"'{name}' cannot be a plugin's name: take small letters, digits and single hyphens, such as my-optimizer"
        )
    for plugin in plugins:
        taken = [piece for piece in plugin.registers if piece.endswith(f" {name}")]
        if plugin.name == name or taken:
            whose = f"{plugin.name} brings the {taken[0]}" if taken else f"there is a plugin from {plugin.origin}"
            raise UsageError(f"the name '{name}' is taken, {whose}: choose another one")
    if importlib.util.find_spec(module):
        raise UsageError(f"the name '{name}' is taken, there is a Python module '{module}' already: choose another one")


def package_files(name: str, kind: str) -> dict[str, str]:
    """Return the files of a new package called `name`, texts by their paths in its folder."""
    module = name.replace("-", "_")
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"src/{module}/__init__.py": f"{kind}.py",
        f"tests/test_{module}.py": f"test_{kind}.py",
    }
    words = {
        "my-plugin": name,
        "my_plugin": module,
        "MyPlugin": "".join(part.capitalize() for part in name.split("-")),
        "$kind": f"{'A' if kind == 'recorder' else 'An'} {kind}",
        "$commands": "\n".join(f"    {line}" for line in what_next(".", name, kind)),
    }
    return {path: _filled(template, words) for path, template in files.items()}


def what_next(folder: str, name: str, kind: str, pip: str = "python -m pip", by_uv: bool = False) -> list[str]:
    """Return the commands that install the new package in `folder` with `pip`, test it, show it and use it.

    `by_uv` has `uv run` before those that it would not find by themselves.
    """
    run = "uv run " if by_uv else ""
    follow = (f"python -m pytest {folder}", "optiscope plugins", *(command.format(name=name) for command in TRY[kind]))
    return [f"{pip} install -e {folder} pytest", *(f"{run}{command}" for command in follow)]


def _filled(template: str, words: dict[str, str]) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for word, replacement in words.items():
        text = text.replace(word, replacement)
    return text
