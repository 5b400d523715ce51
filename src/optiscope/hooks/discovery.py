"""Finding plugins, one by one, so that a broken one costs nobody but itself.

A plugin is a module or an object that carries functions marked with `hookimpl`. It comes from an entry point of the
group "optiscope" (loaded in the order of names, which is the same on every machine) or from a single file. What can
go wrong silently in pluggy is looked for here: a plugin without any hook, a misspelt hook, a class registered in
place of an instance.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import attrs
import pluggy

from optiscope.errors import PluginError, unknown
from optiscope.hooks.markers import PROJECT

State = Literal["active", "blocked", "broken"]


@attrs.frozen(kw_only=True)
class PluginState:
    """What is known about one plugin. `why` is a sentence for a broken one; `registers` names hooks and pieces."""

    name: str
    version: str
    origin: str
    state: State
    why: str = ""
    registers: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Candidate:
    """A plugin before it is loaded."""

    name: str
    version: str
    origin: str
    load: Callable[[], Any]


def entry_points() -> Iterator[Candidate]:
    """Yield the plugins that are installed, sorted by name."""
    found = importlib.metadata.entry_points(group=PROJECT)
    for entry in sorted(found, key=lambda entry: (entry.name, entry.value)):
        dist = entry.dist
        yield Candidate(
            name=entry.name,
            version=dist.version if dist else "unknown",
            origin=f"{dist.name} ({entry.value})" if dist else entry.value,
            load=entry.load,
        )


def from_file(path: str) -> Candidate:
    """Return the single-file plugin at `path`; its name is the file's, without the ending."""

    def load() -> Any:
        file = Path(path)
        if not file.is_file():
            raise PluginError(f"there is no plugin file {path}: check the path given to --plugin")
        spec = importlib.util.spec_from_file_location(f"optiscope_plugin_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise PluginError(f"{path} is not a Python file: give --plugin a file that ends in .py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return Candidate(name=Path(path).stem, version="file", origin=path, load=load)


def register(manager: pluggy.PluginManager, candidate: Candidate) -> str:
    """Load a plugin and register it; return why that failed, or an empty string."""
    try:
        plugin = candidate.load()
        _check_hooks(manager, plugin)
        manager.register(plugin, name=candidate.name)
    except Exception as error:
        return str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
    return ""


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    if inspect.isclass(plugin):
        raise PluginError(f"it names the class {plugin.__name__}: name a module or an instance instead")
    marked = [name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]
    if not marked:
        raise PluginError("it has no hook: mark its functions with optiscope.hooks.hookimpl")
    known = hook_names(manager)
    for name in marked:
        if name not in known:
            raise PluginError(str(unknown("hook", name, known)))


def hook_names(manager: pluggy.PluginManager) -> list[str]:
    """Return the names of all specified hooks."""
    return [name for name in vars(manager.hook) if not name.startswith("_")]
