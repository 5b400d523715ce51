"""Configuration files: TOML with the fields of `optiscope.config.GridConfig`.

    model = "paper-cnn"
    batch_sizes = [50, 100]
    optimizers = ["sgd", "adam", "adam(beta1=0.8)"]

    [options.adam]
    beta2 = 0.99

An optimizer with options of its own may be a table as well: `[[optimizers]]`, `name = "adam"`, `beta1 = 0.8`.

cattrs turns the document into the config class. It is told to be strict, because a file is not typed at: a text is
never taken for a number, a fraction never cut to a whole one, and an unknown key is an error.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import attrs
from cattrs import Converter, override
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from optiscope.config import GridConfig, Scalar, Seeds, Value
from optiscope.errors import UsageError, unknown

ELSEWHERE = ("jobs", "executor", "time_limit", "out", "resume", "overwrite", "dry_run", "json", "config")
"""What a file does not hold, because it is no part of what is asked for: options of the command alone."""

Hook = Callable[[Any, Any], Any]
Spelled = str | Mapping[str, Value]
"""An optimizer of a grid: a text, or a table with its name and its options."""


def read_grid(file: Path) -> GridConfig:
    """Return the grid that `file` describes; what it leaves out has its default.

    Raises `UsageError` where there is no such file, it is not TOML, a key is unknown or a value is refused.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no configuration file '{file}': check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"configuration file '{file}' is not TOML: {error}") from None
    return structure_grid(document, f"configuration file '{file}'")


def structure_grid(document: dict[str, Any], where: str) -> GridConfig:
    """Return the grid that `document` describes, as strict as for a file; `where` opens the message of an error."""
    try:
        return _converter().structure(document, GridConfig)
    except BaseValidationError as error:
        raise UsageError(f"{where}: {_sentence(error)}") from None


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook(bool, _strict(bool, "true or false", bool))
    converter.register_structure_hook(int, _strict(int, "a whole number", int))
    converter.register_structure_hook(float, _strict(float, "a number", int, float))
    converter.register_structure_hook(str, _strict(str, "a text in quotes", str))
    scalar = _strict(None, "a number, a text or true or false", bool, int, float, str)
    number = _strict(int, "a whole number or 'auto'", int)
    several = _strict_list(converter)

    def one_or_several(value: Any, kind: Any) -> Any:
        return several(value if isinstance(value, list) else [value], kind)

    converter.register_structure_hook_func(lambda kind: kind == Scalar, scalar)
    converter.register_structure_hook_func(
        lambda kind: kind == Seeds, lambda value, _: value if value == "auto" else number(value, int)
    )
    converter.register_structure_hook_func(
        lambda kind: kind == Value,
        lambda value, _: several(value, tuple[Scalar, ...]) if isinstance(value, list) else scalar(value, Scalar),
    )
    converter.register_structure_hook_func(_is(tuple), several)
    converter.register_structure_hook_factory(
        _is(Mapping), lambda kind: _strict_table(converter.gen_structure_mapping(kind))
    )
    converter.register_structure_hook_func(
        lambda kind: kind == Spelled,
        lambda value, _: converter.structure(value, Mapping[str, Value] if isinstance(value, dict) else str),
    )
    converter.register_structure_hook(
        GridConfig,
        make_dict_structure_fn(
            GridConfig,
            converter,
            _cattrs_forbid_extra_keys=True,
            optimizers=override(struct_hook=lambda value, _: several(value, tuple[Spelled, ...])),
            model=override(struct_hook=one_or_several),
            reduction=override(struct_hook=one_or_several),
        ),
    )
    return converter


def _is(origin: type) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is origin


def _strict_list(converter: Converter) -> Hook:
    def structure(value: Any, kind: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"must be a list in brackets, not {value!r}")
        return tuple(converter.structure(item, get_args(kind)[0]) for item in value)

    return structure


def _strict_table(inner: Hook) -> Hook:
    def structure(value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"must be a table, not {value!r}")
        return inner(value, kind)

    return structure


def _strict(convert: type | None, wanted: str, *types: type) -> Hook:
    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ValueError(f"must be {wanted}, not {value!r}")
        return convert(value) if convert else value

    return structure


def _sentence(error: BaseValidationError) -> str:
    """Return one sentence on the first thing that is wrong."""
    place: list[str] = []
    leaf: BaseException = error
    while isinstance(leaf, BaseValidationError):
        leaf = leaf.exceptions[0]
        for note in getattr(leaf, "__notes__", ()):
            if isinstance(note, AttributeValidationNote):
                place.append(note.name)
            elif isinstance(note, IterableValidationNote) and isinstance(note.index, str):
                place.append(note.index)
    if isinstance(leaf, ForbiddenExtraKeysError):
        return _unknown_key(sorted(leaf.extra_fields)[0])
    return f"{'.'.join(place)} {leaf}".strip()


def _unknown_key(key: str) -> str:
    if (name := key.replace("-", "_")) in ELSEWHERE:
        return f"'{key}' is not for a file: give --{name.replace('_', '-')} on the command line"
    return str(unknown("key", key, (field.name for field in attrs.fields(GridConfig))))
