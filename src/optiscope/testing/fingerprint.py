"""What an optimizer equals, and to what precision: runs beside every known one on the same random gradients.

Known are the registered optimizers, each at the subject's own options where they are called the same (see
`optiscope.testing.roles`) and in all its variants (a switch on or off), and the rules of `optiscope.testing.families`.
Everything runs twice: with the options as they are given, and with every known number moved off its default, so that
a weight decay of 0, say, does not hide how weights would decay. Most of the known leave at once, so only those that
are near after FIRST steps run all the way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
import numpy as np

from optiscope.errors import unknown
from optiscope.params import Array
from optiscope.testing.edges import options_now
from optiscope.testing.families import FAMILIES, Family, Values
from optiscope.testing.result import CheckFailed, Result, fact, passed, warned
from optiscope.testing.roles import PAIR, aligned, role_of, roles_in
from optiscope.testing.sequence import EQUAL, SINGLE, STEPS, Apart, compare, differences, path, sequence
from optiscope.testing.subject import Factory, Options, Subject

FIRST = 25
"""Steps after which those that are far away are given up."""

NEAREST = 40
"""How many are not given up."""


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


def settings(subject: Subject, names: Sequence[str] = (), switches: bool = False) -> list[Setting]:
    """Return the settings: as given, every number that is known or in `names` moved, and each switch in `names` turned.

    A change that the subject refuses is left out.
    """
    given = options_now(subject)
    moved: dict[str, Any] = {}
    for name, value in given.items():
        if (role_of(name) is not None or name == PAIR or name in names) and (other := _moved(value)) is not None:
            moved |= {name: other} if _taken(subject, moved | {name: other}) else {}
    changes = [{}, moved]
    turned = [
        {name: not value} for name, value in given.items() if switches and name in names and isinstance(value, bool)
    ]
    changes += [moved | change if _taken(subject, moved | change) else change for change in turned]
    return [_setting(subject, change) for change in changes if _taken(subject, change)]


def _moved(value: Any) -> Any:
    if isinstance(value, (tuple, list)) and value and all(isinstance(part, float) for part in value):
        return tuple(_moved(part) for part in value)
    if not isinstance(value, float):
        return None
    return 0.7 * value if value else 0.1


def _taken(subject: Subject, changes: Options) -> bool:
    try:
        path(subject.make(**changes), 1)
    except (ValueError, TypeError):
        return False
    return True


def _setting(subject: Subject, changes: Options) -> Setting:
    optimizer = subject.make(**changes)
    options = options_now(attrs.evolve(subject, options={**subject.options, **changes}))
    what = ", ".join(f"{name}={_short(value)}" for name, value in changes.items())
    return Setting(what=what, options=options, path=path(optimizer))


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_short, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def matches(subject: Subject, tested: Sequence[Setting]) -> list[Match]:
    """Return the known that come nearest, the nearest first; of those that are equal, registered ones first."""
    found = [*_registered(subject, tested), *(match for family in FAMILIES for match in _ruled(family, tested))]
    return sorted(found, key=lambda match: 0.0 if match.worst <= EQUAL else match.mean)


def _registered(subject: Subject, tested: Sequence[Setting]) -> Iterator[Match]:
    for name, factory in subject.known.items():
        if factory is subject.factory:
            continue
        for more in variants(factory):
            label = f"{name}({', '.join(f'{key}={_short(value)}' for key, value in more.items())})" if more else name
            try:
                if compare(tested[-1].path[:FIRST], _way(factory, tested[-1].options, more, FIRST)).worst < np.inf:
                    apart = [compare(one.path, _way(factory, one.options, more)) for one in tested]
                    yield Match(label=label, apart=tuple(apart))
            except Exception:  # a known one that cannot run here is none to compare with
                continue


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


def _way(factory: Factory, options: Options, more: Options, steps: int = STEPS) -> Array:
    """Return the way of a known optimizer at the subject's `options` where it takes them, and `more` of its own."""
    own = options_now(Subject(factory=factory))
    return path(factory(**{**aligned(options, own), **more}), steps)


def _ruled(family: Family, tested: Sequence[Setting]) -> list[Match]:
    rules = family.rules(_numbers(tested[-1].options))
    rules = [rules[at] for at in np.argsort(_means(family, rules, tested[-1], FIRST), kind="stable")[:NEAREST]]
    rules.sort(key=family.oddness)
    ways = [_ways(family, rules, one.options) for one in tested]
    return [
        Match(
            label=family.label(rule),
            apart=tuple(compare(one.path, way[:, number]) for one, way in zip(tested, ways, strict=True)),
            family=family,
            rule=rule,
        )
        for number, rule in enumerate(rules)
    ]


def _numbers(options: Options) -> dict[str, float]:
    """Return the roles that are numbers."""
    return {role: value for role, value in roles_in(options).items() if isinstance(value, (int, float))}


def _ways(family: Family, rules: Sequence[Values], options: Options, steps: int = STEPS) -> Array:
    """Return the ways of `rules` with the numbers in `options`, [steps, rules, values]."""
    origin, grads, factors = sequence()
    roles = _numbers(options)
    sizes = np.concatenate([np.full(view.size, float(view.size)) for view in origin.values()])
    lrs = roles.get("lr", 0.01) * factors[:steps]
    return np.array(list(family.paths(rules, roles, origin.flat, grads[:steps], lrs, sizes)))


def _means(family: Family, rules: Sequence[Values], one: Setting, steps: int) -> Array:
    """Return the mean difference of each rule over the first steps."""
    apart = differences(one.path[:steps], _ways(family, rules, one.options, steps))
    return apart.max(axis=2).mean(axis=0)  # type: ignore[no-any-return]


def family_rule(subject: Subject, family: Family) -> Values | None:
    """Return the rule of `family` that the subject equals, None if it equals none."""
    equal = [match for match in _ruled(family, settings(subject)) if match.worst <= EQUAL]
    return equal[0].rule if equal else None


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
        suspect = _suspect(rules[0].family, rules[0].rule, _numbers(tested[-1].options))
        return (warned if suspect and not named else fact)(why, rule=rules[0].label, **figures)
    if best.worst <= SINGLE:
        return warned(
            f"agrees with {best.label} over {STEPS} steps only to {best.worst:.0e}: something is in single precision",
            **figures,
        )
    given = [match for match in found if match.apart[0].worst <= EQUAL]
    if given:
        return fact(
            f"equals {given[0].label} as given; {_departure(given[0].label, given[0].apart, tested)}", **figures
        )
    nearest = f"comes nearest to {best.label}, and {_departure('it', best.apart, tested)}"
    return fact(f"equals nothing known; {nearest}", **figures)


def _departure(label: str, apart: Sequence[Apart], tested: Sequence[Setting]) -> str:
    """Say where the subject leaves one of the known: in the first setting where it does."""
    for one, where in zip(tested, apart, strict=True):
        if where.step is not None:
            when = f" with {one.what}" if one.what else ""
            share = f"{where.by:.2g} of that step's length"
            return f"leaves {label}{when} at step {where.step} in '{where.tensor}', by {share}"
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


def equals_reference(subject: Subject) -> Result:
    """The subject goes the way of the reference that is named, with the options given and with others."""
    name = subject.against
    if name is None:
        return fact("no reference is named (--against NAME)")
    factory = subject.known.get(name)
    if factory is None:
        return _equals_rule(subject, name)
    reference = attrs.evolve(subject, factory=factory, options=subject.against_options, against=None)
    theirs = options_now(reference)
    tested = settings(subject, list(theirs), switches=True)
    apart = [compare(one.path, _way(factory, one.options, subject.against_options)) for one in tested]
    if any(where.worst > EQUAL for where in apart):
        raise CheckFailed(f"{_departure(name, apart, tested)}{_what_differs(subject, reference, name)}")
    loose = _loose_ends(subject, reference, tested[0].options)
    worst = max(where.worst for where in apart)
    why = f"equals {name} to {max(worst, 1e-16):.0e} over {STEPS} steps, in {len(tested)} settings of its options"
    return warned(f"{why}, but {'; '.join(loose)}", difference=worst) if loose else passed(why, difference=worst)


def _equals_rule(subject: Subject, label: str) -> Result:
    for family in FAMILIES:
        rule = family.parse(label)
        if rule is not None:
            tested = settings(subject)
            apart = [compare(one.path, _ways(family, [rule], one.options)[:, 0]) for one in tested]
            if any(where.worst > EQUAL for where in apart):
                mine = family_rule(subject, family)
                raise CheckFailed(f"{_departure(label, apart, tested)}{_axes_apart(family, mine, rule, label)}")
            worst = max(where.worst for where in apart)
            return passed(f"equals {label} to {max(worst, 1e-16):.0e} over {STEPS} steps", difference=worst)
    raise unknown("optimizer in --against", label, subject.known)


def _what_differs(subject: Subject, reference: Subject, name: str) -> str:
    """Say in words what differs, where both are rules of one family."""
    for family in FAMILIES:
        theirs = family_rule(reference, family)
        if theirs is not None and (mine := family_rule(subject, family)) is not None:
            return _axes_apart(family, mine, theirs, name)
    return ""


def _axes_apart(family: Family, mine: Values | None, theirs: Values, name: str) -> str:
    if mine is None:
        return ""
    texts = [
        f"{family.axes[axis][mine[axis]]}, and in {name} {family.axes[axis][theirs[axis]]}"
        for axis in family.axes
        if mine[axis] != theirs[axis]
    ]
    return f": {'; '.join(texts)}" if texts else ""


CLOSED_FORMS = ("stable_lr", "frozen_stable_lr")


def _loose_ends(subject: Subject, reference: Subject, mine: Options) -> list[str]:
    """Return what differs from the reference beside its steps: defaults, options, closed forms."""
    theirs = options_now(reference)
    defaults = options_now(attrs.evolve(subject, options={}))
    found = [
        f"{name} is {_short(defaults[name])} by default, and in {subject.against} {_short(value)}"
        for name, value in options_now(attrs.evolve(reference, options={})).items()
        if name in defaults and defaults[name] != value
    ]
    missing = sorted(set(theirs) - set(aligned(mine, theirs)))
    found += [f"it has no option {name}" for name in missing]
    one, other = subject.make(), reference.factory(**{**aligned(mine, theirs), **subject.against_options})
    for form in CLOSED_FORMS:
        values = [getattr(piece, form, lambda _: None)(3.0) for piece in (one, other)]
        if values[0] != values[1] and not np.isclose(
            *(np.nan if value is None else value for value in values), rtol=1e-12
        ):
            found.append(f"{form}(3) is {values[0]}, and in {subject.against} {values[1]}")
    return found
