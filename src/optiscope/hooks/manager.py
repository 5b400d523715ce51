"""The host of all plugins: who is there, what they bring, and how they are called.

`create_manager` is a factory, and everything that wants plugins is handed what it made: nothing is global, so two
hosts with different plugins live side by side. The built-in pieces come through the entry points like everybody's.
Every plugin is asked for its pieces as soon as it is loaded, so that one that cannot say what it brings is known to be
broken from the start, and nothing of it runs.

    host.pieces("optimizers")             name -> Piece, from all active plugins
    host.find("optimizers", "torch:Adam") the Piece of a name, be it a member of a family; None if there is none
    host.check("optimizers", "adam", {})  that there is such a piece, and that it takes these options
    host.build("optimizers", "adam", {})  an instance, options checked
    host.versions([("optimizers", "adam")])   of the packages that these pieces run on
    host.notify("on_step", spent, ...)    call a lifecycle hook; the plugin that raises is named, the time told
    host.notify_all("on_run_end", ...)    reaches every plugin whatever one raises
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs
import pluggy

from optiscope.errors import RAISED, PluginError, UsageError, told, unknown
from optiscope.hooks import discovery, packages, specs
from optiscope.hooks.discovery import Candidate, PluginState
from optiscope.hooks.markers import PROJECT
from optiscope.hooks.pieces import FAMILY, KINDS, Piece, check_type, make, piece_of
from optiscope.records import PluginInfo

MISSING = {"broken": "could not be loaded", "blocked": "is blocked"}
"""What is said of a plugin that may be the one that brings what was not found."""


class _ClashError(PluginError):
    """Two plugins bring a piece of one kind and name."""


class PluginHost:
    """The plugins of one process, see the module's docstring. Made by `create_manager`."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(specs)
        self._states: list[PluginState] = []
        self._pieces: dict[str, dict[str, Piece]] = {kind: {} for kind in KINDS}
        self._loaded: dict[tuple[str, str], dict[str, Piece]] = {}
        self._packages: dict[str, tuple[str, ...]] = {}
        self._versions: dict[str, dict[str, str]] = {}
        self._clash = ""

    @property
    def plugins(self) -> tuple[PluginState, ...]:
        """Every plugin that was found, by name, with its state and what it registers."""
        shown = [attrs.evolve(state, registers=self._registers(state)) for state in self._states]
        return tuple(sorted(shown, key=lambda state: state.name))

    @property
    def active(self) -> tuple[PluginInfo, ...]:
        """The plugins in force, as they are written into run files."""
        return tuple(
            PluginInfo(name=state.name, version=state.version, origin=state.origin, hooks=self._hooks(state.name))
            for state in self._states
            if state.state == "active"
        )

    @property
    def blocked(self) -> tuple[str, ...]:
        """The names of the plugins that are there and were not to be loaded, sorted."""
        return tuple(sorted(state.name for state in self._states if state.state == "blocked"))

    def pieces(self, kind: str) -> dict[str, Piece]:
        """Return all pieces of a kind (see `KINDS`) by name, without the members of families, which may be many.

        PluginError if two plugins gave one name, of any kind.
        """
        if self._clash:
            raise PluginError(self._clash)
        return {name: piece for name, piece in self._pieces[kind].items() if not name.endswith(FAMILY)}

    def find(self, kind: str, name: str) -> Piece | None:
        """Return the piece called `name`, None if there is none; PluginError if its family cannot be loaded."""
        return self.pieces(kind).get(name) or self._members(kind, name).get(name)

    def check(self, kind: str, name: str, options: Mapping[str, Any]) -> None:
        """Raise UsageError unless there is a piece called `name` that takes `options`, whatever else it needs.

        Names and types are checked; so are the values, by making an instance, where the piece is an attrs class that
        needs nothing more.
        """
        piece = self._piece(kind, name, options)
        factory = piece.factory
        needed = {key for key, parameter in piece.parameters.items() if parameter.default is parameter.empty}
        if isinstance(factory, type) and attrs.has(factory) and kind != "executors" and needed <= options.keys():
            make(kind, piece, options)

    def build(self, kind: str, name: str, options: Mapping[str, Any]) -> Any:
        """Return an instance of the piece called `name`.

        UsageError for an unknown name, or an option that is refused with a TypeError or ValueError; PluginError for
        whatever else is raised.
        """
        return make(kind, self._piece(kind, name, options), options)

    def versions(self, pieces: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return name -> version of the packages that `pieces`, a kind and a name each, come with and run on."""
        plugins = sorted({piece.plugin for kind, name in pieces if (piece := self.find(kind, name))})
        for plugin in plugins:
            if plugin not in self._versions:
                self._versions[plugin] = packages.versions(self._packages.get(plugin, ()))
        return {name: version for plugin in plugins for name, version in self._versions[plugin].items()}

    def notify(self, hook: str, spent: Callable[[str, float], None] | None = None, /, **arguments: Any) -> None:
        """Call a lifecycle hook; what a plugin raises becomes a PluginError that names it.

        `spent`, if it is given, is told each plugin that was called and the seconds that it took.
        """
        for plugin, call in self._calls(hook, arguments):
            began = time.perf_counter()
            try:
                call()
            except RAISED as error:
                raise PluginError(f"plugin '{plugin}' failed in {hook}: {told(error)}") from error
            if spent is not None:
                spent(plugin, time.perf_counter() - began)

    def notify_all(self, hook: str, **arguments: Any) -> None:
        """Call a lifecycle hook in every plugin; what they raise becomes one warning, after the last was called."""
        failures = []
        for plugin, call in self._calls(hook, arguments):
            try:
                call()
            except RAISED as error:  # the run has ended: nothing may keep the others from hearing so
                failures.append(f"plugin '{plugin}' failed in {hook}: {told(error)}")
        if failures:
            warnings.warn("; ".join(failures), RuntimeWarning, stacklevel=2)

    def register(self, plugin: Any, name: str) -> None:
        """Add an observer of this process, a progress display or a test's, under `name`; PluginError if broken."""
        self._load(Candidate(name=name, version="inline", origin="this process", load=lambda: plugin), strict=True)

    def _calls(self, hook: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield the plugins that implement a hook, the last to register first as in pluggy, and their calls."""
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            values = [arguments[name] for name in implementation.argnames]
            yield implementation.plugin_name, partial(implementation.function, *values)

    def _piece(self, kind: str, name: str, options: Mapping[str, Any]) -> Piece:
        """Return the piece of that name, which takes options of these names and types."""
        piece = self.find(kind, name)
        if piece is None:
            raise self._unknown(kind, name)
        for key, value in options.items():
            if key not in piece.parameters:
                raise unknown(f"option of {name}", key, piece.parameters)
            check_type(name, key, value, piece.parameters[key].annotation)
        return piece

    def _unknown(self, kind: str, name: str) -> UsageError:
        error = unknown(KINDS[kind], name, self._members(kind, name) or self._pieces[kind])
        missing = [
            f"{state.name} {MISSING[state.state]}{f', {state.why}' if state.state == 'broken' else ''}"
            for state in self._states
            if state.state in MISSING
        ]
        return UsageError(f"{error} (and {', '.join(missing)}: see optiscope plugins)") if missing else error

    def _members(self, kind: str, name: str) -> dict[str, Piece]:
        """Return the pieces of the family that `name` belongs to, by name; none where there is no such family."""
        prefix, colon, _ = name.partition(":")
        family = self._pieces[kind].get(prefix + FAMILY) if colon else None
        if family is None:
            return {}
        if (kind, family.name) not in self._loaded:
            try:
                pieces = [piece_of(kind, factory, family.plugin) for factory in family.factory()]
            except RAISED as error:
                raise PluginError(
                    f"plugin '{family.plugin}' could not load the {kind} {family.name}: {told(error)}"
                ) from error
            self._loaded[kind, family.name] = {piece.name: piece for piece in pieces}
        return self._loaded[kind, family.name]

    def _registers(self, state: PluginState) -> tuple[str, ...]:
        if state.state != "active":
            return ()
        brought = [
            f"{noun} {piece.name}"
            for kind, noun in KINDS.items()
            for piece in self._pieces[kind].values()
            if piece.plugin == state.name
        ]
        return (*brought, *self._hooks(state.name))

    def _hooks(self, plugin: str) -> tuple[str, ...]:
        """Return the lifecycle hooks that a plugin implements."""
        callers = self._manager.get_hookcallers(self._manager.get_plugin(plugin)) or ()
        return tuple(sorted(caller.name for caller in callers if caller.name.startswith("on_")))

    def _load(self, candidate: Candidate, strict: bool, asked: bool = False) -> None:
        """Load a plugin and keep its state; PluginError for a broken one if `strict`, or if it was `asked` for.

        A clash is an error only where pieces are looked for, so that the host can show who clashes.
        """
        state: discovery.State = "active"
        why = ""
        try:
            self._admit(candidate)
        except RAISED as error:  # a script without a main guard ends the process that imports it
            state, why = "broken", told(error)
            clash = isinstance(error, _ClashError)
            if strict or (asked and not clash):
                raise PluginError(f"plugin '{candidate.name}' from {candidate.origin} is broken: {why}") from error
            if clash:
                self._clash = self._clash or why
        self._states.append(candidate.state(state, why))
        self._packages.setdefault(candidate.name, candidate.packages)

    def _admit(self, candidate: Candidate) -> None:
        """Register a plugin and take in its pieces; raises what is wrong with it, and then nothing of it stays."""
        for state in self._states:
            if state.name == candidate.name:
                raise PluginError(f"a plugin called '{state.name}' is there already, from {state.origin}: rename one")
        discovery.register(self._manager, candidate)
        try:
            brought = {kind: self._collect(kind, candidate.name) for kind in KINDS}
        except BaseException:
            self._manager.unregister(name=candidate.name)
            raise
        for kind, pieces in brought.items():
            self._pieces[kind] = dict(sorted((self._pieces[kind] | pieces).items()))

    def _collect(self, kind: str, plugin: str) -> dict[str, Piece]:
        """Return the pieces of a kind that one plugin brings, by name."""
        hook = f"optiscope_{kind}"
        found: dict[str, Piece] = {}
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin_name != plugin:
                continue
            try:
                pieces = [piece_of(kind, factory, plugin) for factory in implementation.function()]
            except RAISED as error:
                raise PluginError(f"its {hook} failed: {told(error)}") from error
            for piece in pieces:
                if piece.name in found:
                    raise PluginError(f"it brings the {KINDS[kind]} '{piece.name}' twice: rename one of the two")
                if piece.name in self._pieces[kind]:
                    first = self._pieces[kind][piece.name].plugin
                    raise _ClashError(
                        f"two plugins bring the {KINDS[kind]} '{piece.name}', {first} and {plugin}: "
                        "block one of them with --no-plugin"
                    )
                found[piece.name] = piece
        return found


def create_manager(
    discover: bool = True, block: Iterable[str] = (), files: Iterable[str] = (), strict: bool = False
) -> PluginHost:
    """Return a host with the installed plugins (`discover`) less those named in `block`, and single-file `files`.

    The names in the variable OPTISCOPE_DISABLE_PLUGINS are blocked too, if there are such plugins; a name in `block`
    that is no plugin's is a UsageError.

    A plugin that cannot be loaded, or cannot say what it brings, is kept as "broken" with the reason, and nothing of
    it runs; with `strict`, or when it was asked for by its file, it is a PluginError. Of two plugins that give one
    name the second is broken; without `strict` the PluginError comes when pieces are looked for.
    """
    installed = discovery.entry_points() if discover else ()
    asked = [discovery.from_file(path) for path in files]
    names = {candidate.name for candidate in (*installed, *asked)}
    blocked = dict.fromkeys(discovery.disabled(), f"by {discovery.DISABLE}") | dict.fromkeys(block, "by --no-plugin")
    if missing := set(block) - names:
        raise unknown("plugin to block", sorted(missing)[0], names)
    host = PluginHost()
    for candidate in (*installed, *asked):
        if candidate.name in blocked:
            host._states.append(candidate.state("blocked", blocked[candidate.name]))
        else:
            host._load(candidate, strict, asked=candidate in asked)
    return host
