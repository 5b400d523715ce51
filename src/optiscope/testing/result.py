"""What a check says: passed, failed, a warning, or a fact that is neither good nor bad, with one sentence of why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

Outcome = Literal["passed", "failed", "warning", "fact"]

Figure = float | int | str | None


class CheckFailed(AssertionError):  # noqa: N818, an assertion like pytest's own
    """What a check raises to fail: one sentence that says what is wrong, where, and how to mend it."""


@attrs.frozen
class Result:
    """What one check found. `figures` are the numbers behind `why`, by name."""

    name: str
    outcome: Outcome
    why: str
    figures: Mapping[str, Figure] = attrs.field(factory=dict)


def passed(why: str, **figures: Figure) -> Result:
    """Return a result that is as it should be; the kit gives it its name."""
    return Result("", "passed", why, figures)


def warned(why: str, **figures: Figure) -> Result:
    """Return a result that somebody should look at."""
    return Result("", "warning", why, figures)


def fact(why: str, **figures: Figure) -> Result:
    """Return a result that is neither good nor bad."""
    return Result("", "fact", why, figures)
