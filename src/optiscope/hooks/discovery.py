"""Finding plugins, one by one, so that a broken one costs nobody but itself.

A plugin is a module or an object that carries functions marked with `hookimpl`. It comes from an entry point of the
group "optiscope" (loaded in the order of names, which is the same on every machine) or from a single file. What can
go wrong silently in pluggy is looked for here: a plugin without any hook, a misspelt hook, a wrapper, a class
registered in place of an instance.

The variable OPTISCOPE_DISABLE_PLUGINS keeps installed plugins and files from being loaded, as --no-plugin does. It is
set for a whole shell, or a whole machine, so a name in it that is not there is none of its commands' business.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Literal

import attrs
import pluggy

from optiscope.errors import PluginError, unknown
from optiscope.hooks.markers import PROJECT
from optiscope.hooks.packages import imported, stated

State = Literal["active", "blocked", "broken"]

DISABLE = "OPTISCOPE_DISABLE_PLUGINS"


@attrs.frozen(kw_only=True)
class PluginState:
    """What is known about one plugin. `why` says what is wrong with a broken one, and what a blocked one is blocked by.

    `registers` names hooks and pieces.
    """

    name: str
    version: str
    origin: str
    state: State
    why: str = ""
    registers: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Candidate:
    """A plugin before it is loaded; `packages` names the one that brings it, or those that a single file imports."""

    name: str
    version: str
    origin: str
    load: Callable[[], Any]
    packages: tuple[str, ...] = ()

    def state(self, state: State, why: str = "") -> PluginState:
        """Return what became of it."""
        return PluginState(name=self.name, version=self.version, origin=self.origin, state=state, why=why)


def entry_points() -> tuple[Candidate, ...]:
    """Return the plugins that are installed, sorted by name.

    Reading what all packages say takes most of the time that it takes to make a host, and a worker makes one for each
    run: so they are read again only where the path, or a folder on it, is another than at the last time.
    """
    path = tuple((place, _changed(place)) for place in sys.path)
    return _installed(importlib.metadata.entry_points, path, tuple(map(id, sys.meta_path)))


@functools.lru_cache(maxsize=1)
def _installed(find: Callable[..., Iterable[importlib.metadata.EntryPoint]], *_: object) -> tuple[Candidate, ...]:
    """Return what `find` finds; whatever else that hangs on is given as well."""
    found = []
    for entry in sorted(find(group=PROJECT), key=lambda entry: (entry.name, entry.value)):
        package, version = stated(entry.dist, "Name", "Version")
        candidate = Candidate(
            name=entry.name,
            version=version,
            origin=f"{package} ({entry.value})" if entry.dist else entry.value,
            load=entry.load,
            packages=(package,) if entry.dist else (),
        )
        found.append(candidate)
    return tuple(found)


def _changed(place: str) -> tuple[int, int, int] | None:
    """Return which folder or archive lies at a place of the path, and when something last came or went there."""
    try:
        found = os.stat(place or ".")
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def disabled() -> frozenset[str]:
    """Return the names in the variable OPTISCOPE_DISABLE_PLUGINS, which are separated by commas."""
    return frozenset(filter(None, map(str.strip, os.environ.get(DISABLE, "").split(","))))


def from_file(path: str) -> Candidate:
    """Return the single-file plugin at `path`.

    Its name is the file's, without the ending; its version the first 12 hexadecimal digits of the file's SHA-256.
    """
    file = Path(path)
    try:
        source = file.read_bytes()
    except OSError:
        source = None

    def load() -> Any:
        if source is None:
            raise PluginError(f"there is no plugin file {path} that can be read: check the path given to --plugin")
        return _run_module(file, source)

    version = "unknown" if source is None else hashlib.sha256(source).hexdigest()[:12]
    return Candidate(name=file.stem, version=version, origin=path, load=load, packages=imported(source or b""))


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs the source that it was given: never old bytecode, so that what runs is what the version is a hash of."""

    def __init__(self, name: str, file: Path, source: bytes) -> None:
        super().__init__(name, str(file))
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source."""
        return self.source_to_code(self._source, self.path)


def _run_module(file: Path, source: bytes) -> ModuleType:
    if file.suffix != ".py":
        raise PluginError(f"{file} is not a Python file: give --plugin a file that ends in .py")
    name = f"optiscope_plugin_{file.stem}"
    loader = _Loader(name, file, source)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses, among others, look their module up
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def register(manager: pluggy.PluginManager, candidate: Candidate) -> None:
    """Load a plugin and register it; raises PluginError, or what the plugin raises, and then it is not registered."""
    plugin = candidate.load()
    _check_hooks(manager, plugin)
    try:
        manager.register(plugin, name=candidate.name)
    except BaseException:
        manager.unregister(name=candidate.name)  # pluggy may have got half way
        raise


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    if inspect.isclass(plugin):
        raise PluginError(f"it names the class {plugin.__name__}: name a module or an instance instead")
    marked = {name: marks for name in dir(plugin) if (marks := manager.parse_hookimpl_opts(plugin, name)) is not None}
    if not marked:
        raise PluginError("it has no hook: mark its functions with optiscope.hooks.hookimpl")
    known = hook_names(manager)
    for name, marks in marked.items():
        if (marks.get("specname") or name) not in known:
            raise PluginError(str(unknown("hook", name, known)))
        if marks.get("wrapper") or marks.get("hookwrapper"):
            raise PluginError(f"its {name} is a wrapper, and hooks only observe: mark it with hookimpl alone")


def hook_names(manager: pluggy.PluginManager) -> list[str]:
    """Return the names of all specified hooks."""
    return [name for name in vars(manager.hook) if not name.startswith("_")]
