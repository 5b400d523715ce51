"""What was asked for: one run, or a grid of runs, as plain frozen values.

A `RunConfig` is all that a worker needs to repeat a run bit for bit: names of pieces (which the plugins resolve)
and numbers, nothing that lives in a process. A `GridConfig` is a few axes and what the runs have in common;
`optiscope.sweep` multiplies it out. Values are checked here, names where the registries are known.

An optimizer of a grid is spelled with the options that are its own: "adam", "adam(beta1=0.8)". So one may be there
several times, and its axis is a list of texts as the others are lists of numbers: what means the same looks the same.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]
Options = Mapping[str, Mapping[str, Value]]
Seeds = int | Literal["auto"]
Reduction = Literal["mean", "sum"]

DEFAULT_STEPS = 400

_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*')"""
_OPTION = rf"""\s*(\w+)\s*=((?:[^,\[\]"'()]|\[(?:[^\]"']|{_QUOTED})*\]|{_QUOTED})+)"""
_SPELLED = re.compile(rf"([^()]+)(?:\(((?:{_OPTION}(?:,{_OPTION})*)?\s*)\))?")


def parse_value(text: str) -> Value:
    """Read a TOML scalar (`0.8`, `true`, `"text"`), a list of them, or any number that Python reads (`.8`).

    Whatever is none of these is `text` itself.
    """
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        document = {}
    value = document.get("value")
    scalar = (bool, int, float, str)
    if len(document) == 1 and isinstance(value, scalar):
        return value
    if len(document) == 1 and isinstance(value, list) and all(isinstance(each, scalar) for each in value):
        return tuple(value)
    try:
        return float(text)
    except ValueError:
        return text


def spell_value(value: Any) -> str:
    """Return a value as `parse_value` reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_quote(each) if isinstance(each, str) else spell_value(each) for each in value)}]"
    if isinstance(value, str) and not (re.fullmatch(r"[\w.:+-]+", value) and parse_value(value) == value):
        return _quote(value)
    return str(value)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def spell(name: str, options: Mapping[str, Any]) -> str:
    """Return a piece and options of its own as one text: "adam(beta1=0.8)"."""
    inside = ", ".join(f"{key}={spell_value(value)}" for key, value in sorted(options.items()))
    return f"{name}({inside})" if inside else name


def parse_spelling(text: str) -> tuple[str, dict[str, Value]]:
    """Return name and own options of an optimizer that is spelled so; ValueError for what is no spelling."""
    found = _SPELLED.fullmatch(text.strip())
    given = re.findall(_OPTION, found[2] or "") if found else []
    options = {key: parse_value(value.strip()) for key, value in given}
    if found is None or len(options) < len(given):
        raise ValueError(
            f"optimizers must be written NAME or NAME(KEY=VALUE, ...), such as adam(beta1=0.8), not {text!r}"
        )
    return found[1].strip(), options


def _freeze(options: Options) -> dict[str, dict[str, Value]]:
    return {
        name: {key: tuple(value) if isinstance(value, list) else value for key, value in sorted(values.items())}
        for name, values in sorted(options.items())
    }


def _several(values: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"a list or a tuple is needed in place of {values!r}: write [{values!r}]")
    return tuple(values)


def _one_or_several(values: Any) -> tuple[Any, ...]:
    return (values,) if isinstance(values, str) else _several(values)


def _spellings(values: Iterable[str | Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(spell(*parse_spelling(_as_text(value))) for value in _several(values))


def _as_text(value: str | Mapping[str, Any]) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    if not isinstance(value.get("name"), str):
        raise ValueError(f"optimizers must have a name, such as name = 'adam', and {dict(value)} has none")
    return spell(value["name"], {key: each for key, each in value.items() if key != "name"})


def _at_least(low: int) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{attribute.name} must be a whole number >= {low}, not {value!r}")

    return check


def _number_or_auto(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{attribute.name} must be a whole number >= 1 or 'auto', not {value!r}")


def _inside_one(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{attribute.name} must be above 0 and below 1, not {value!r}")


def _freeze_thin(thin: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if thin is None else dict(sorted(thin.items()))


def _factors(_: Any, attribute: attrs.Attribute[Any], thin: Mapping[str, int] | None) -> None:
    for name, factor in (thin or {}).items():
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
            raise ValueError(f"{attribute.name} must give {name} a whole number >= 1, not {factor!r}")


def _percentage(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 100:
        raise ValueError(f"{attribute.name} must be a percentage above 0 and at most 100, not {value!r}")


def _optional(validator: Any) -> Any:
    return attrs.validators.optional(validator)


def _one_of(*known: str) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in known:
            raise ValueError(f"{attribute.name} must be {' or '.join(known)}, not {value!r}")

    return check


def check_lr(lr: Any) -> None:
    """Raise ValueError unless `lr` is a finite number above zero."""
    if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not math.isfinite(lr) or lr <= 0:
        raise ValueError(f"a learning rate must be a finite number above zero, not {lr!r}")


def _each(check: Any) -> Any:
    def check_all(_: Any, attribute: attrs.Attribute[Any], values: Any) -> None:
        for value in values:
            check(_, attribute, value)

    return check_all


def _lr(_: Any, __: Any, value: float) -> None:
    check_lr(value)


def _own_lr(_: Any, __: Any, spelled: str) -> None:
    _, own = parse_spelling(spelled)
    if "lr" in own:
        check_lr(own["lr"])


def _not_empty(_: Any, attribute: attrs.Attribute[Any], values: Any) -> None:
    if not values:
        raise ValueError(f"{attribute.name} must name at least one")


@attrs.frozen(kw_only=True)
class Common:
    """What every run of a grid has in common.

    `steps` counts updates, epochs cycling as needed; `epochs` asks for whole ones instead, and one excludes the
    other (neither: 400 steps). `train_samples` takes the first so many training images.
    `order` is "paper" (batches cut once in file order, their order shuffled every epoch) or "reshuffle".
    `kernels` names a set of `optiscope.autograd.kernels`; "auto" becomes the fastest when a run is planned.
    `threads` says how many share each batch of a run (see `optiscope.engine.shards`): its bits depend on it.
    `options` maps the name of any piece to its options: `{"adam": {"beta1": 0.8}}`. `plugins` are files of
    single-file plugins, `block` names of plugins not to load, and `strict` makes a broken one fatal. What
    OPTISCOPE_DISABLE_PLUGINS blocks is added to `block` when a run is planned.

    `thin` maps a recorder's name to k: of the rows that it declares it takes every k-th. `budget` is the share of a
    training step, in percent, that a recorder may cost: while `thin` is None, whoever starts the run or the grid
    measures what each costs and fills it in. What was filled in decides from then on, so that the same configuration
    gives the same file whatever the clock says. Neither changes a bit of training.
    """

    data: str = "synthetic"
    steps: int | None = attrs.field(default=None, validator=_optional(_at_least(1)))
    epochs: int | None = attrs.field(default=None, validator=_optional(_at_least(1)))
    train_samples: int | None = attrs.field(default=None, validator=_optional(_at_least(1)))
    order: Literal["paper", "reshuffle"] = attrs.field(default="paper", validator=_one_of("paper", "reshuffle"))
    schedule: str = "constant"
    kernels: str = "auto"
    threads: int = attrs.field(default=1, validator=_at_least(1))
    options: Options = attrs.field(factory=dict, converter=_freeze)
    plugins: tuple[str, ...] = attrs.field(default=(), converter=_several)
    block: tuple[str, ...] = attrs.field(default=(), converter=_several)
    strict: bool = False
    budget: float | None = attrs.field(default=None, validator=_optional(_percentage))
    thin: Mapping[str, int] | None = attrs.field(default=None, converter=_freeze_thin, validator=_factors)

    def __attrs_post_init__(self) -> None:
        """Refuse steps and epochs together."""
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs exclude each other: give one of them")

    @property
    def unmeasured(self) -> bool:
        """Whether there is a budget, and nobody has measured yet what it makes of the schedules."""
        return self.budget is not None and self.thin is None

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the number of updates a run makes when an epoch has `steps_per_epoch`."""
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        return self.steps or DEFAULT_STEPS


@attrs.frozen(kw_only=True)
class RunConfig(Common):
    """One training run. `lr` None means the optimizer's own default.

    `reduction` says how the loss that is differentiated is reduced over the batch: "mean", or "sum" as the paper's own
    program does.
    """

    optimizer: str = "sgd"
    model: str = "small-cnn"
    reduction: Reduction = attrs.field(default="mean", validator=_one_of("mean", "sum"))
    batch_size: int = attrs.field(default=100, validator=_at_least(1))
    lr: float | None = attrs.field(default=None, validator=_optional(_lr))
    seed: int = attrs.field(default=0, validator=_at_least(0))


@attrs.frozen(kw_only=True)
class GridConfig(Common):
    """A grid of runs: every optimizer on every model, with every reduction, batch size, learning rate and seed.

    An optimizer is a name, or a name with options that win over those in `options`: "adam(beta1=0.8)", or as a table
    `{"name": "adam", "beta1": 0.8}`. One with an "lr" among them runs at that alone. Without `lrs` the others run at
    their own defaults. A single model or reduction may be given without a list. Seeds are 0 ... `seeds` - 1; "auto"
    gives each cell as few as decide it, and at most `max_seeds` (see `optiscope.sweep.seeds`). `confidence` is that of
    the intervals on P(unstable). The defaults are the paper's grid.
    """

    optimizers: tuple[str, ...] = attrs.field(
        default=("sgd", "adam"), converter=_spellings, validator=[_not_empty, _each(_own_lr)]
    )
    model: tuple[str, ...] = attrs.field(default=("small-cnn",), converter=_one_or_several, validator=_not_empty)
    reduction: tuple[Reduction, ...] = attrs.field(
        default=("mean",), converter=_one_or_several, validator=[_not_empty, _each(_one_of("mean", "sum"))]
    )
    batch_sizes: tuple[int, ...] = attrs.field(
        default=(50, 100, 150, 200), converter=_several, validator=[_not_empty, _each(_at_least(1))]
    )
    lrs: tuple[float, ...] = attrs.field(default=(), converter=_several, validator=_each(_lr))
    seeds: Seeds = attrs.field(default=1, validator=_number_or_auto)
    confidence: float = attrs.field(default=0.95, validator=_inside_one)
    max_seeds: int = attrs.field(default=20, validator=_at_least(1))
