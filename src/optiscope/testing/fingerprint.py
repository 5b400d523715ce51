"""What an optimizer equals, and to what precision: runs beside every known one on the same random gradients.

Known are the registered optimizers, each at the subject's own options where they are called the same (see
`optiscope.testing.roles`) and in all its variants (a switch on or off), and the rules of `optiscope.testing.families`.
Everything runs twice: with the options as they are given, and with every known number moved off its default, so that
a weight decay of 0, say, does not hide how weights would decay. Most of the known leave at once, so only those that
are near after FIRST steps run all the way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
import numpy as np

from optiscope.params import Array, readonly
from optiscope.testing.drive import words
from optiscope.testing.families import FAMILIES, Family, Values
from optiscope.testing.result import Result, fact, passed, warned
from optiscope.testing.roles import FROM_ZERO, PAIR, aligned, role_of, roles_in
from optiscope.testing.sequence import EQUAL, SINGLE, STEPS, Apart, compare, differences, path, sequence
from optiscope.testing.subject import Factory, Options, Subject, options_now

FIRST = 25
"""Steps after which those that are far away are given up."""

NEAREST = 30
"""How many rules of a family are not given up."""

NEAREST_REGISTERED = 8
"""How many registered optimizers, or variants of them, are not: each goes its way by itself, while rules go at once."""


@attrs.frozen(kw_only=True, eq=False)
class Setting:
    """The subject's way at one setting of its options; `what` is "" for those given, else what was changed."""

    what: str
    options: Options
    path: Array


@attrs.frozen(kw_only=True)
class Match:
    """How near one of the known comes to the subject, in each setting. `rule` is None for a registered optimizer."""

    label: str
    apart: tuple[Apart, ...]
    family: Family | None = None
    rule: Values | None = None

    @property
    def worst(self) -> float:
        """The largest difference in any setting."""
        return max(apart.worst for apart in self.apart)

    @property
    def mean(self) -> float:
        """The mean difference in the setting where it is largest."""
        return max(apart.mean for apart in self.apart)


def settings(
    subject: Subject, names: Sequence[str] = (), switches: bool = False, keep: Iterable[str] = ()
) -> list[Setting]:
    """Return the settings: as given, every number that is known or in `names` moved, and each switch in `names` turned.

    Options in `keep` stay, and so do those whose change the subject refuses.
    """
    given = {name: value for name, value in options_now(subject).items() if name not in keep}
    moved: dict[str, Any] = {}
    for name, value in given.items():
        known = role_of(name) is not None or name == PAIR
        from_zero = FROM_ZERO.get(role_of(name) or "", 0.1)
        other = (
            _moved(float(value) if known and type(value) is int else value, from_zero)
            if known or name in names
            else None
        )
        if other is not None and _taken(subject, moved | {name: other}):
            moved[name] = other
    turned = [name for name, value in given.items() if switches and name in names and isinstance(value, bool)]
    changes: list[dict[str, Any]] = [{}, moved, *(moved | {name: not given[name]} for name in turned)]
    return [_setting(subject, change) for change in changes if _taken(subject, change)]


def _moved(value: Any, from_zero: float = 0.1) -> Any:
    """Return another value for a number, or for several of them; None for anything else."""
    if isinstance(value, (tuple, list)) and value and all(isinstance(part, float) for part in value):
        return tuple(_moved(part) for part in value)
    if not isinstance(value, float):
        return None
    return 0.7 * value if value else from_zero


def _taken(subject: Subject, changes: Options) -> bool:
    """Say whether an instance can be made; if its update then raises, that is no refusal."""
    try:
        subject.make(**changes)
    except (ValueError, TypeError):
        return False
    return True


def _setting(subject: Subject, changes: Options) -> Setting:
    optimizer = subject.make(**changes)
    options = options_now(attrs.evolve(subject, options={**subject.options, **changes}))
    what = ", ".join(f"{name}={short(value)}" for name, value in changes.items())
    return Setting(what=what, options=options, path=path(optimizer))


def short(value: Any) -> str:
    """Return an option's value in as few characters as will do."""
    if isinstance(value, tuple):
        return f"({', '.join(map(short, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def matches(subject: Subject, tested: Sequence[Setting]) -> list[Match]:
    """Return the known that come nearest, the nearest first; of those that are equal, registered ones first."""
    found = [*_registered(subject, tested), *(match for family in FAMILIES for match in _ruled(family, tested))]
    return sorted(found, key=lambda match: 0.0 if match.worst <= EQUAL else match.mean)


def _registered(subject: Subject, tested: Sequence[Setting]) -> list[Match]:
    near = []
    for name, factory in subject.known.items():
        for more in variants(factory) if factory is not subject.factory else ():
            label = f"{name}({', '.join(f'{key}={short(value)}' for key, value in more.items())})" if more else name
            apart = _apart(factory, tested[-1:], more, FIRST)
            near += [(apart[0].mean, label, factory, more)] if apart else []
    near.sort(key=lambda one: one[0])
    found = []
    for _, label, factory, more in near[:NEAREST_REGISTERED]:
        apart = _apart(factory, tested, more, STEPS)
        found += [Match(label=label, apart=apart)] if apart else []
    return found


def _apart(factory: Factory, tested: Sequence[Setting], more: Options, steps: int) -> tuple[Apart, ...]:
    """Return how far a known optimizer is from the subject in each setting; nothing if it cannot run there."""
    try:
        return tuple(compare(one.path[:steps], way(factory, one.options, more, steps)) for one in tested)
    except Exception:  # a refused option, or a tensor that it is not made for: then it is not the same
        return ()


def variants(factory: Factory) -> list[dict[str, Any]]:
    """Return the options of every variant of a known optimizer: each choice of its switches, the defaults first."""
    if not (isinstance(factory, type) and attrs.has(factory)):
        return [{}]
    choices: dict[str, tuple[Any, ...]] = {}
    hints = get_type_hints(factory)
    for field in attrs.fields(factory):
        kind = hints.get(field.name)
        values = (False, True) if kind is bool else get_args(kind) if get_origin(kind) is Literal else ()
        if field.init and values:
            choices[field.alias] = tuple(value for value in values if value != field.default)
    found: list[dict[str, Any]] = [{}]
    for count in range(1, min(len(choices), 2) + 1):
        for names in itertools.combinations(choices, count):
            found += [
                dict(zip(names, values, strict=True)) for values in itertools.product(*(choices[n] for n in names))
            ]
    return found


def way(factory: Factory, options: Options, more: Options, steps: int = STEPS) -> Array:
    """Return the way of a known optimizer at the subject's `options` where it takes them, and `more` of its own."""
    chosen = {**aligned(options, options_now(Subject(factory=factory))), **more}
    try:
        key = frozenset((name, type(value), value) for name, value in chosen.items())
    except TypeError:  # a value that cannot be part of a key
        return path(factory(**chosen), steps)
    return _way(factory, key, steps)


@lru_cache(maxsize=1024)
def _way(factory: Factory, chosen: frozenset[tuple[str, type, Any]], steps: int) -> Array:
    """Return a way that has been gone before, for another subject, without going it again."""
    return readonly(path(factory(**{name: value for name, _, value in chosen}), steps))


def _ruled(family: Family, tested: Sequence[Setting]) -> list[Match]:
    rules, beginnings = _begun(family, frozenset(numbers(tested[-1].options).items()))
    apart = differences(tested[-1].path[:FIRST], beginnings).max(axis=2).mean(axis=0)
    rules = [rules[at] for at in np.argsort(apart, kind="stable")[:NEAREST]]
    rules.sort(key=family.oddness)
    found = [ways(family, rules, one.options) for one in tested]
    return [
        Match(
            label=family.label(rule),
            apart=tuple(compare(one.path, their[:, number]) for one, their in zip(tested, found, strict=True)),
            family=family,
            rule=rule,
        )
        for number, rule in enumerate(rules)
    ]


def numbers(options: Options) -> dict[str, float]:
    """Return the roles that are numbers."""
    return {role: value for role, value in roles_in(options).items() if isinstance(value, (int, float))}


def ways(family: Family, rules: Sequence[Values], options: Options, steps: int = STEPS) -> Array:
    """Return the ways of `rules` with the numbers in `options`, [steps, rules, values]."""
    return _ways(family, rules, numbers(options), steps)


def _ways(family: Family, rules: Sequence[Values], roles: Mapping[str, float], steps: int) -> Array:
    origin, grads, factors = sequence()
    sizes = np.concatenate([np.full(view.size, float(view.size)) for view in origin.values()])
    lrs = roles.get("lr", 0.01) * factors[:steps]
    return np.array(list(family.paths(rules, roles, origin.flat, grads[:steps], lrs, sizes)))


@lru_cache(maxsize=2 * len(FAMILIES))
def _begun(family: Family, roles: frozenset[tuple[str, float]]) -> tuple[list[dict[str, str]], Array]:
    """Return all rules of a family at these numbers, and their first ways [FIRST, rules, values]."""
    rules = family.rules(dict(roles))
    return rules, readonly(_ways(family, rules, dict(roles), FIRST))


def family_rule(subject: Subject, family: Family) -> Values | None:
    """Return the rule of `family` that the subject equals, None if it equals none."""
    equal = [match for match in _ruled(family, settings(subject)) if match.worst <= EQUAL]
    return equal[0].rule if equal else None


def option_effects(subject: Subject) -> Result:
    """Every number among the options has an effect, when the others are off their defaults."""
    given = options_now(subject)
    numbers_given = [name for name, value in given.items() if _moved(value) is not None]
    moved = settings(subject, numbers_given)[-1]
    idle = [
        name
        for name in numbers_given
        if moved.options[name] != given[name]
        and np.array_equal(path(subject.make(**{**moved.options, name: given[name]})), moved.path, equal_nan=True)
    ]
    if idle:
        return warned(f"{words(idle)} {'have' if len(idle) > 1 else 'has'} no effect (with {moved.what})")
    return passed("every number among the options has an effect" if numbers_given else "no option is a number")


def fingerprint(subject: Subject) -> Result:
    """Say what the subject equals and to what precision, or what comes nearest and where it leaves it."""
    tested = settings(subject)
    found = matches(subject, tested)
    best = found[0]
    equal = [match for match in found if match.worst <= EQUAL]
    figures = {"nearest": best.label, "difference": best.worst if np.isfinite(best.worst) else None, "steps": STEPS}
    if equal:
        rules = [match for match in equal if match.rule is not None]
        named = [match.label for match in equal if match.rule is None]
        names = named[:1] or [f"the rule {rules[0].label}"]
        why = f"equals {names[0]} to {max(best.worst, 1e-16):.0e} over {STEPS} steps"
        if not rules or rules[0].family is None or rules[0].rule is None:
            return fact(why, **figures)
        odd = _odd(rules[0].family, rules[0].rule)
        why += f": {'; '.join(odd)}" if odd else ""
        suspect = _suspect(rules[0].family, rules[0].rule, numbers(tested[-1].options))
        return (warned if suspect and not named else fact)(why, rule=rules[0].label, **figures)
    if best.worst <= SINGLE:
        return warned(
            f"agrees with {best.label} over {STEPS} steps only to {best.worst:.0e}: something is in single precision",
            **figures,
        )
    given = [match for match in found if match.apart[0].worst <= EQUAL]
    if given:
        return fact(f"equals {given[0].label} as given; {departure(given[0].label, given[0].apart, tested)}", **figures)
    nearest = f"comes nearest to {best.label}, and {departure('it', best.apart, tested)}"
    return fact(f"equals nothing known; {nearest}", **figures)


def departure(label: str, apart: Sequence[Apart], tested: Sequence[Setting]) -> str:
    """Say where the subject leaves one of the known: in the first setting where it does."""
    for one, where in zip(tested, apart, strict=True):
        if where.step is not None:
            when = f" with {one.what}" if one.what else ""
            by = f"by {where.by:.2g} of that step's length" if np.isfinite(where.by) else "where it does not move"
            return f"leaves {label}{when} at step {where.step} in '{where.tensor}', {by}"
    return ""


def _odd(family: Family, rule: Values) -> list[str]:
    return [family.axes[axis][value] for axis, value in rule.items() if value != next(iter(family.axes[axis]))]


def _suspect(family: Family, rule: Values, roles: Mapping[str, float]) -> bool:
    """Say whether a rule is one that is more often a mistake than meant."""
    odd = any(rule[axis] != next(iter(family.axes[axis])) for axis in family.rare)
    bias = {"beta1", "beta2"} <= roles.keys() and rule.get("bias", "both") != "both"
    dampening = "dampening" not in roles and rule.get("velocity", "sum") != "sum"
    ignored = "weight_decay" in roles and rule["decay"] == "none"
    return odd or bias or dampening or ignored or rule.get("epsilon") == "none"
