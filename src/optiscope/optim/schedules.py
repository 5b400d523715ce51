"""Learning-rate schedules: the factor by which the base learning rate is multiplied at each step.

A schedule is a frozen attrs class with its options and one function, `factor(step, steps)`. The host sets
`optimizer.lr = base * factor` before every step, so an optimizer never knows of schedules, and the learning rate that
is recorded is the one that was used. Factors are above zero at every step, as a learning rate must be.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Protocol

import attrs


class Schedule(Protocol):
    """An attrs class with a name, its options as fields, and `factor`."""

    name: ClassVar[str]

    def factor(self, step: int, steps: int) -> float:
        """Return the factor at `step` (counts from 1) of a run of `steps`."""
        ...


def _whole(low: int) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{attribute.name} must be a whole number >= {low}, not {value!r}")

    return check


def _up_to_one(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} must be from 0 to 1, not {value!r}")


def _above_zero_up_to_one(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{attribute.name} must be above 0 and at most 1, not {value!r}")


@attrs.frozen(kw_only=True)
class Constant:
    """Always the base learning rate."""

    name: ClassVar[str] = "constant"

    def factor(self, step: int, steps: int) -> float:
        """Return 1."""
        return 1.0


@attrs.frozen(kw_only=True)
class Cosine:
    """A linear warm-up, then half a cosine from 1 down to `floor` (Loshchilov and Hutter 2017, without restarts).

    The first `warmup` steps have the factors 1 / (warmup + 1), 2 / (warmup + 1), ...; the step after them has 1. The
    cosine would reach `floor` one step after the last, as PyTorch's `CosineAnnealingLR` does, so that the last step
    still moves.
    """

    name: ClassVar[str] = "cosine"

    warmup: int = attrs.field(default=0, validator=_whole(0))
    floor: float = attrs.field(default=0.0, validator=_up_to_one)

    def factor(self, step: int, steps: int) -> float:
        """Return step / (warmup + 1); from d = step - 1 - warmup = 0 on, floor + (1 - floor) (1 + cos(pi d / D)) / 2.

        D = steps - warmup.
        """
        done = step - 1 - self.warmup
        if done < 0:
            return step / (self.warmup + 1)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done / (steps - self.warmup))) / 2


@attrs.frozen(kw_only=True)
class Step:
    """Multiplied by `gamma` after every `every` steps, as PyTorch's `StepLR`."""

    name: ClassVar[str] = "step-decay"

    every: int = attrs.field(default=100, validator=_whole(1))
    gamma: float = attrs.field(default=0.1, validator=_above_zero_up_to_one)

    def factor(self, step: int, steps: int) -> float:
        """Return gamma^floor((step - 1) / every)."""
        return float(self.gamma ** ((step - 1) // self.every))


@attrs.frozen(kw_only=True)
class InverseSqrt:
    """1 / sqrt(step): the schedule of online convex optimization, and of Reddi et al. 2018."""

    name: ClassVar[str] = "inverse-sqrt"

    def factor(self, step: int, steps: int) -> float:
        """Return 1 / sqrt(step)."""
        return 1 / math.sqrt(step)


SCHEDULES: tuple[type[Schedule], ...] = (Constant, Cosine, Step, InverseSqrt)
"""Every schedule there is, the default first."""
