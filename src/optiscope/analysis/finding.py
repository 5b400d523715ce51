"""What an analyzer hands over: one frozen fact with its evidence.

A `Finding` is a claim that can be checked: the number that was computed, the limit it was held against, the steps
on which it rests, the version of the rule, and one sentence of why. What follows from several findings is not
said here but in `optiscope.labels`.

The results are

    pass       the statistic is on the good side of its limit, with margin
    alarm      something is odd; whether it is instability needs a second witness
    fail       the run failed; `kind` says in which way
    undecided  the record does not allow an answer (too short, missing, borderline)
    info       reported, never judged
    error      the analyzer raised and was disabled; `why` holds the reason
"""

from __future__ import annotations

from typing import Literal, get_args

import attrs

Result = Literal["pass", "alarm", "fail", "undecided", "info", "error"]
Direction = Literal["above", "below"]
StepRange = tuple[int, int]


@attrs.frozen(kw_only=True)
class Alarm:
    """One statistic beyond its limit: which, by how much, and over which steps (first and last, from 1)."""

    name: str
    statistic: float
    threshold: float
    p_value: float | None
    steps: StepRange


@attrs.frozen(kw_only=True)
class Finding:
    """What one analyzer says about one run.

    `direction` is the side of `threshold` on which `statistic` is bad. `interval` is a confidence interval of the
    statistic where one is known. `steps` are the first and last step (counted from 1, both included) on which the
    finding rests; None if there were none. `first_step` is the first step of the first alarm. `kind` names the way
    of failing ("non-finite", "diverged", "collapsed") where `result` is "fail", and what there was instead ("not
    learned") where it is undecided. `alarms` gives the single alarms where `result` is "alarm".
    """

    name: str
    rule_version: str
    result: Result = attrs.field(validator=attrs.validators.in_(get_args(Result)))
    why: str
    statistic: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    interval: tuple[float, float] | None = None
    direction: Direction = "above"
    steps: StepRange | None = None
    first_step: int | None = None
    kind: str = ""
    alarms: tuple[Alarm, ...] = ()
