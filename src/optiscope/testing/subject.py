"""What is checked: a class or factory with its options, what it is compared with, and how another process finds it.

Whoever checks may hold a class, an instance, a registered name, or a line of text as it is typed after
`optiscope check`. `load` reads the text, and `Subject` is what all of them come to: something that makes new
instances, as many as the checks need.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.errors import RAISED, UsageError, told, unknown
from optiscope.hooks import PluginHost, create_manager, hookimpl, options_of
from optiscope.hooks.discovery import from_file
from optiscope.optim import Optimizer

Factory = Callable[..., Optimizer]
Options = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Again:
    """How a fresh process finds the factory: the first of `targets` that it can load, with these plugins."""

    targets: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    block: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Subject:
    """An optimizer under test.

    `known` are the factories that the fingerprint compares with, by name; `against` names the one that it has to
    equal, if any, and `against_options` are options of that one. The contract is checked in each of `dtypes`.
    """

    factory: Factory
    options: Options = attrs.field(factory=dict)
    known: Mapping[str, Factory] = attrs.field(factory=dict)
    against: str | None = None
    against_options: Options = attrs.field(factory=dict)
    again: Again = attrs.field(factory=Again)
    dtypes: tuple[npt.DTypeLike, ...] = (np.float32, np.float64)

    def make(self, **changes: Any) -> Optimizer:
        """Return a new instance with the subject's options, less or more `changes`."""
        return self.factory(**{**self.options, **changes})

    @property
    def name(self) -> str:
        """The optimizer's name, as `--set` and messages have it."""
        return str(getattr(self.factory, "name", getattr(self.factory, "__name__", "optimizer")))


def subject_of(piece: Optimizer | Factory, *, against: str | None = None, **options: Any) -> Subject:
    """Return the subject for an instance, or for a class or factory with `options`.

    All registered optimizers are known to its fingerprint.
    """
    factory: Any = piece
    if not callable(piece):
        factory, options = type(piece), _options_of(piece) | options
    pieces = create_manager().pieces("optimizers")
    known = {name: registered.factory for name, registered in pieces.items()}
    return Subject(factory=factory, options=options, known=known, against=against, again=Again(targets=paths(factory)))


def _options_of(instance: Optimizer) -> dict[str, Any]:
    """Return the options that an instance was made with, as far as it has them as attributes."""
    if attrs.has(type(instance)):
        return options_of(instance)
    parameters = inspect.signature(type(instance)).parameters
    needed = [name for name, one in parameters.items() if one.default is one.empty and not hasattr(instance, name)]
    if needed:
        raise UsageError(
            f"an instance of {type(instance).__name__} does not tell its {needed[0]}: give class and options"
        )
    return {name: getattr(instance, name) for name in parameters if hasattr(instance, name)}


def options_now(subject: Subject) -> dict[str, Any]:
    """Return every option that the factory takes, with the value given, or else the default."""
    made, found = None, {}
    for name, parameter in inspect.signature(subject.factory).parameters.items():
        default = parameter.default
        if name in subject.options:
            found[name] = subject.options[name]
        elif default is not parameter.empty and default is not attrs.NOTHING:
            found[name] = default
        else:
            made = made or subject.make()
            found |= {name: getattr(made, name)} if hasattr(made, name) else {}
    return found


def paths(factory: Any) -> tuple[str, ...]:
    """Return targets by which `load` may find `factory` in another process: by its module, and by its file."""
    name = getattr(factory, "__qualname__", "<locals>")
    if "<locals>" in name:
        return ()
    try:
        file = inspect.getsourcefile(factory)
    except TypeError:
        file = None
    return (f"{factory.__module__}:{name}", *([f"{Path(file).resolve()}:{name}"] if file else []))


def load(target: str, host: PluginHost) -> Factory:
    """Return the factory that `target` names: a registered optimizer, MODULE:CLASS or path/to/file.py:CLASS.

    UsageError where there is none.
    """
    if registered := host.find("optimizers", target):
        return registered.factory
    where, colon, name = target.rpartition(":")
    if not (colon and where and name):
        error = unknown("optimizer", target, host.pieces("optimizers"))
        raise UsageError(f"{error}; a class of your own is MODULE:CLASS or path/to/file.py:CLASS")
    found: Any = _module(where)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{where} has no {name}: it has {', '.join(_classes(found)) or 'no class with an update'}")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{target} is an instance of {type(found).__name__}: name the class in its place")
    return found  # type: ignore[no-any-return]


def _module(where: str) -> ModuleType:
    if where.endswith(".py") and not Path(where).is_file():
        raise UsageError(f"there is no file {where}: check the path")
    try:
        return from_file(where).load() if where.endswith(".py") else importlib.import_module(where)
    except RAISED as error:
        raise UsageError(f"{where} cannot be imported: {told(error)}") from error


def _classes(module: Any) -> list[str]:
    return sorted(name for name, value in vars(module).items() if inspect.isclass(value) and hasattr(value, "update"))


def checked(factory: Factory, options: Options) -> str:
    """Return the name of `factory`, after UsageError unless it has one and takes `options`."""

    @hookimpl
    def optiscope_optimizers() -> list[Factory]:
        return [factory]

    host = create_manager(discover=False)
    plugin = ModuleType("subject")
    plugin.optiscope_optimizers = optiscope_optimizers  # type: ignore[attr-defined]
    host.register(plugin, "subject")
    (name,) = host.pieces("optimizers")
    host.build("optimizers", name, options)
    return name
