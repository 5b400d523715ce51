"""The host of all plugins: who is there, what they bring, and how they are called.

`create_manager` is a factory, and everything that wants plugins is handed what it made: nothing is global, so two
hosts with different plugins live side by side. The built-in pieces come through the entry points like everybody's.

    host.pieces("optimizers")             name -> Piece, from all active plugins
    host.build("optimizers", "adam", {})  an instance, options checked
    host.notify("on_step", run=..., ...)  call a lifecycle hook; the plugin that raises is named
    host.notify_all("on_run_end", ...)    the same, but reaches every plugin whatever one raises
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import pluggy

from optiscope.errors import OptiscopeError, PluginError, UsageError, unknown
from optiscope.hooks import discovery, specs
from optiscope.hooks.discovery import PluginState
from optiscope.hooks.markers import PROJECT
from optiscope.records import PluginInfo

KINDS = {
    "optimizers": "optimizer",
    "models": "model",
    "datasets": "data set",
    "schedules": "schedule",
    "recorders": "recorder",
    "analyzers": "analyzer",
    "executors": "executor",
}
"""What plugins can bring: the end of the registration hook's name, and the noun for messages."""

OPTION_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "float": ("a number", (int, float)),
    "int": ("a whole number", (int,)),
    "bool": ("true or false", (bool,)),
    "str": ("a text", (str,)),
}
"""What an option whose annotation is of this name may be, in words and types; other annotations are not looked at."""


@attrs.frozen
class Piece:
    """A class or factory that a plugin registered under a name."""

    name: str
    factory: Callable[..., Any]
    plugin: str


class PluginHost:
    """The plugins of one process, see the module's docstring. Made by `create_manager`."""

    def __init__(self, manager: pluggy.PluginManager, states: Iterable[PluginState]) -> None:
        self._manager = manager
        self._states = {state.name: state for state in states}
        self._pieces: dict[str, dict[str, Piece]] = {}

    @property
    def plugins(self) -> tuple[PluginState, ...]:
        """Every plugin that was found, by name, with its state and what it registers."""
        brought: dict[str, list[str]] = {name: [] for name in self._states}
        for kind, noun in KINDS.items():
            for piece in self.pieces(kind).values():
                brought[piece.plugin].append(f"{noun} {piece.name}")
        for name in brought:
            brought[name] += [hook for hook in self._hooks_of(name) if hook.startswith("on_")]
        return tuple(attrs.evolve(self._states[name], registers=tuple(brought[name])) for name in sorted(brought))

    @property
    def active(self) -> tuple[PluginInfo, ...]:
        """The plugins in force, as they are written into run files."""
        return tuple(
            PluginInfo(name=state.name, version=state.version, origin=state.origin)
            for state in self._states.values()
            if state.state == "active"
        )

    def pieces(self, kind: str) -> dict[str, Piece]:
        """Return all pieces of a kind (see `KINDS`) by name; PluginError if two plugins give the same name."""
        if kind not in self._pieces:
            self._pieces[kind] = self._collect(kind)
        return self._pieces[kind]

    def build(self, kind: str, name: str, options: Mapping[str, Any]) -> Any:
        """Return an instance of the piece called `name`; UsageError for an unknown name or a refused option."""
        pieces = self.pieces(kind)
        if name not in pieces:
            raise self._unknown(kind, name)
        factory = pieces[name].factory
        parameters = inspect.signature(factory).parameters
        known = [key for key in parameters if not key.startswith("_")]
        for key, value in options.items():
            if key not in known:
                raise unknown(f"option of {name}", key, known)
            _check_type(name, key, value, parameters[key].annotation)
        try:
            return factory(**options)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{name}: {error}") from error

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a lifecycle hook; what a plugin raises becomes a PluginError that names it."""
        caller = getattr(self._manager.hook, hook)
        try:
            caller(**arguments)
        except Exception as error:
            raise PluginError(f"plugin '{_blame(caller, error)}' failed in {hook}: {_told(error)}") from error

    def notify_all(self, hook: str, **arguments: Any) -> None:
        """Call a lifecycle hook in every plugin; what one raises becomes a warning, and the next is called."""
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            values = [arguments[name] for name in implementation.argnames]
            try:
                implementation.function(*values)
            except Exception as error:  # the run has ended: nothing may keep the others from hearing so
                name = implementation.plugin_name
                warnings.warn(f"plugin '{name}' failed in {hook}: {_told(error)}", RuntimeWarning, stacklevel=2)

    def observed(self, hook: str) -> bool:
        """Say whether any plugin implements a lifecycle hook."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def register(self, plugin: Any, name: str) -> None:
        """Add an observer of this process, a progress display or a test's, under `name`."""
        candidate = discovery.Candidate(name=name, version="inline", origin="this process", load=lambda: plugin)
        if name in self._states:
            raise PluginError(f"a plugin called '{name}' is there already: choose another name")
        if why := discovery.register(self._manager, candidate):
            raise PluginError(f"plugin '{name}' cannot be registered: {why}")
        self._states[name] = PluginState(name=name, version="inline", origin="this process", state="active")
        self._pieces.clear()

    def _unknown(self, kind: str, name: str) -> UsageError:
        error = unknown(KINDS[kind], name, self.pieces(kind))
        broken = [state.name for state in self._states.values() if state.state == "broken"]
        if broken:
            return UsageError(f"{error} (and {', '.join(broken)} could not be loaded: see optiscope plugins)")
        return error

    def _hooks_of(self, plugin_name: str) -> list[str]:
        plugin = self._manager.get_plugin(plugin_name)
        callers = self._manager.get_hookcallers(plugin) if plugin is not None else None
        return sorted(caller.name for caller in callers or ())

    def _collect(self, kind: str) -> dict[str, Piece]:
        found: dict[str, Piece] = {}
        for implementation in getattr(self._manager.hook, f"optiscope_{kind}").get_hookimpls():
            plugin = implementation.plugin_name
            try:
                pieces = [Piece(_name_of(factory), factory, plugin) for factory in implementation.function()]
            except Exception as error:
                why = f"its optiscope_{kind} failed: {_told(error)}"
                self._states[plugin] = attrs.evolve(self._states[plugin], state="broken", why=why)
                continue
            for piece in pieces:
                if piece.name in found:
                    raise PluginError(
                        f"two plugins bring a {KINDS[kind]} called '{piece.name}', {found[piece.name].plugin} and "
                        f"{plugin}: block one of them with --no-plugin"
                    )
                found[piece.name] = piece
        return dict(sorted(found.items()))


def create_manager(
    discover: bool = True, block: Iterable[str] = (), files: Iterable[str] = (), strict: bool = False
) -> PluginHost:
    """Return a host with the installed plugins (`discover`) less those named in `block`, and single-file `files`.

    A plugin that cannot be loaded is kept as "broken" with the reason; with `strict`, or when it was asked for by its
    file, it is a PluginError.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    asked = [discovery.from_file(path) for path in files]
    candidates = [*(discovery.entry_points() if discover else ()), *asked]
    blocked = set(block)
    if missing := blocked - {candidate.name for candidate in candidates}:
        raise unknown("plugin to block", sorted(missing)[0], (candidate.name for candidate in candidates))
    states = []
    for candidate in candidates:
        state: discovery.State = "blocked"
        why = ""
        if candidate.name not in blocked:
            why = discovery.register(manager, candidate)
            state = "broken" if why else "active"
        if why and (strict or candidate in asked):
            raise PluginError(f"plugin '{candidate.name}' from {candidate.origin} cannot be loaded: {why}")
        states.append(
            PluginState(name=candidate.name, version=candidate.version, origin=candidate.origin, state=state, why=why)
        )
    return PluginHost(manager, states)


def options_of(piece: Any, leave: Iterable[str] = ()) -> dict[str, Any]:
    """Return the complete options of an attrs instance, defaults filled in, without those named in `leave`."""
    if not attrs.has(type(piece)):
        return {}
    left = set(leave)
    return {field.name: getattr(piece, field.name) for field in attrs.fields(type(piece)) if field.name not in left}


def _check_type(name: str, key: str, value: Any, annotation: Any) -> None:
    """Refuse a text where a number belongs, and the like, before a validator stumbles over it."""
    wanted = OPTION_TYPES.get(getattr(annotation, "__name__", annotation))
    if wanted is None:
        return
    words, types = wanted
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise UsageError(f"{name}: {key} must be {words}, not {value!r}")


def _name_of(factory: Any) -> str:
    name = getattr(factory, "name", None)
    if not isinstance(name, str) or not name:
        raise PluginError(f"{factory!r} has no name: give it a class attribute name = '...'")
    return name


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, OptiscopeError) else f"{type(error).__name__}: {error}"


def _blame(caller: pluggy.HookCaller, error: Exception) -> str:
    """Return the name of the plugin whose implementation is on the error's traceback."""
    owners = {
        implementation.function.__code__: implementation.plugin_name
        for implementation in caller.get_hookimpls()
        if hasattr(implementation.function, "__code__")
    }
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in owners:
            return owners[trace.tb_frame.f_code]
        trace = trace.tb_next
    return "unknown"
