"""Whether an optimizer equals the one that it is meant to be: step by step, and if not, where it leaves it and why.

The reference is a registered optimizer, at the subject's options where they are called the same, or a rule of
`optiscope.testing.families` by its label. Both run with the options as they are given, with every number that they
share moved off its default, and with every switch that they share turned: what only shows with an option that nobody
sets is a mistake all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from optiscope.errors import unknown
from optiscope.optim import Optimizer
from optiscope.testing.families import FAMILIES, Family, Values
from optiscope.testing.fingerprint import Setting, departure, family_rule, settings, short, way, ways
from optiscope.testing.result import CheckFailed, Result, fact, passed, warned
from optiscope.testing.roles import aligned
from optiscope.testing.sequence import EQUAL, STEPS, compare
from optiscope.testing.subject import Subject, options_now
from optiscope.testing.theory import CURVATURE, FORMS


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
    tested = settings(subject, list(theirs), switches=True, keep=subject.against_options)
    apart = [compare(one.path, way(factory, one.options, subject.against_options)) for one in tested]
    if any(where.worst > EQUAL for where in apart):
        raise CheckFailed(f"{departure(name, apart, tested)}{_what_differs(subject, reference, name)}")
    loose = _loose_ends(subject, reference, tested)
    worst = max(where.worst for where in apart)
    why = f"equals {name} to {max(worst, 1e-16):.0e} over {STEPS} steps, in {len(tested)} settings of its options"
    return warned(f"{why}, but {'; '.join(loose)}", difference=worst) if loose else passed(why, difference=worst)


def _equals_rule(subject: Subject, label: str) -> Result:
    for family in FAMILIES:
        rule = family.parse(label)
        if rule is not None:
            tested = settings(subject)
            apart = [compare(one.path, ways(family, [rule], one.options)[:, 0]) for one in tested]
            if any(where.worst > EQUAL for where in apart):
                mine = family_rule(subject, family)
                raise CheckFailed(f"{departure(label, apart, tested)}{_axes_apart(family, mine, rule, label)}")
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
        f"{family.axes[axis][mine[axis]]}, where in {name} {family.axes[axis][theirs[axis]]}"
        for axis in family.axes
        if mine[axis] != theirs[axis]
    ]
    return f": {'; '.join(texts)}" if texts else ""


CLOSED_FORMS = {**{name: form.arguments for name, form in FORMS.items()}, "frozen_stable_lr": (CURVATURE,)}
"""What is compared besides the steps, and the arguments with which it is."""


def _loose_ends(subject: Subject, reference: Subject, tested: Sequence[Setting]) -> list[str]:
    """Return what differs from the reference beside its steps: defaults, options, closed forms."""
    theirs = options_now(reference)
    defaults = options_now(attrs.evolve(subject, options={}))
    found = [
        f"{name} is {short(defaults[name])} by default, and in {subject.against} {short(value)}"
        for name, value in options_now(attrs.evolve(reference, options={})).items()
        if name in defaults and defaults[name] != value
    ]
    missing = sorted(set(theirs) - set(aligned(tested[0].options, theirs)))
    found += [f"it has no option {name}" for name in missing]
    for one in tested:
        options = {**aligned(one.options, theirs), **subject.against_options}
        found += _forms_apart(subject.make(**one.options), reference.factory(**options), str(subject.against))
    return list(dict.fromkeys(found))


def _forms_apart(mine: Optimizer, theirs: Optimizer, name: str) -> list[str]:
    """Return the closed forms that both claim to have and that differ."""
    found = []
    for form, arguments in CLOSED_FORMS.items():
        if _claims(mine, form) and _claims(theirs, form):
            values = getattr(mine, form)(*arguments), getattr(theirs, form)(*arguments)
            if values[0] != values[1] and (None in values or not math.isclose(*values)):
                found.append(f"{form}({', '.join(map(short, arguments))}) is {values[0]}, and in {name} {values[1]}")
    return found


def _claims(optimizer: Optimizer, form: str) -> bool:
    own = getattr(type(optimizer), form, None)
    return own is not None and own is not getattr(Optimizer, form, None)
