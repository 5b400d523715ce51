"""What plugins bring, one piece at a time: its kind, its name, its options, and how an instance of it is made.

Whatever is wrong with a piece or with the options that it is asked with is one sentence that names it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from optiscope.config import parse_spelling
from optiscope.errors import RAISED, OptiscopeError, PluginError, UsageError, told

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

FAMILY = ":..."
"""The end of the name under which a family stands among the pieces; its factory then returns the members."""


@attrs.frozen
class Piece:
    """A class or factory that a plugin registered under a name."""

    name: str
    factory: Callable[..., Any]
    plugin: str

    @functools.cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters of the factory that can be options."""
        parameters = inspect.signature(self.factory).parameters
        return {name: parameter for name, parameter in parameters.items() if not name.startswith("_")}


@attrs.frozen
class Family:
    """Pieces that are loaded when the first of them is named, because that takes long.

    A registration hook returns it among its classes. `load` takes nothing, and returns what the hook would have:
    classes or factories, whose names begin with `name` and a colon ("torch:Adam" of the family "torch").
    """

    name: str
    load: Callable[[], Iterable[Any]]


def options_of(piece: Any, leave: Iterable[str] = (), given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the options of an instance, without those named in `leave`.

    An attrs instance tells them itself, complete with defaults; of anything else no more is known than the options
    that were `given` when it was built.
    """
    options = dict(given or {})
    if attrs.has(type(piece)):
        options |= {field.alias: getattr(piece, field.name) for field in attrs.fields(type(piece)) if field.init}
    left = set(leave)
    return {name: value for name, value in options.items() if name not in left}


def make(kind: str, piece: Piece, options: Mapping[str, Any]) -> Any:
    """Return an instance of `piece`; errors are those of `PluginHost.build`."""
    name = piece.name
    for key, parameter in piece.parameters.items():
        if parameter.default is parameter.empty and parameter.kind is parameter.KEYWORD_ONLY and key not in options:
            raise UsageError(f"{name} has no default for {key}: give it one with --set {name}.{key}=VALUE")
    try:
        return piece.factory(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: {error}") from error
    except (OptiscopeError, MemoryError):
        raise
    except RAISED as error:
        raise PluginError(f"{KINDS[kind]} '{name}' of plugin '{piece.plugin}' cannot be made: {told(error)}") from error


def check_type(name: str, key: str, value: Any, annotation: Any) -> None:
    """Refuse a text where a number belongs, and the like, before a validator stumbles over it."""
    wanted = OPTION_TYPES.get(getattr(annotation, "__name__", annotation))
    if wanted is None:
        return
    words, types = wanted
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise UsageError(f"{name}: {key} must be {words}, not {value!r}")


def piece_of(kind: str, factory: Any, plugin: str) -> Piece:
    """Return a piece that carries what its kind must carry."""
    if isinstance(factory, Family):
        if kind in ("recorders", "analyzers"):
            raise PluginError(
                f"'{factory.name}' is a family of {kind}, and every one of these is used: return its members"
            )
        return Piece(factory.name + FAMILY, factory.load, plugin)
    name = getattr(factory, "name", None)
    if not isinstance(name, str) or not name:
        raise PluginError(f"{factory!r} has no name: give it a class attribute name = '...'")
    if not callable(factory):
        raise PluginError(f"{factory!r} is an instance: return its class, {type(factory).__name__}, in its place")
    if kind == "optimizers" and not _can_be_spelled(name):
        raise PluginError(f"optimizer '{name}' cannot be asked for: take parentheses and outer spaces out of its name")
    if kind == "analyzers" and not isinstance(getattr(factory, "rule_version", None), str):
        raise PluginError(f"analyzer '{name}' has no rule_version: give it a class attribute rule_version = '1'")
    return Piece(name, factory, plugin)


def _can_be_spelled(name: str) -> bool:
    """Say whether a grid can name an optimizer so; what stands in parentheses would be its options."""
    try:
        return parse_spelling(name) == (name, {})
    except ValueError:
        return False
