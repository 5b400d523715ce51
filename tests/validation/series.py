"""Series whose answer is known: healthy noise of many families, and faults that are put into it.

The families are split. Constants of the rules are fitted on some (`FITTED_ON`, by fit.py) and measured on the others
(`HELD_OUT`, by calibration.py), so that what is measured says how the rules do on noise that they have never met. The
scripts draw from different seeds as well.

Every series has 400 steps on a drift of -log t and a burn-in of 100; noise is made with 200 steps before them that
are dropped, and has a standard deviation of 1 after the burn-in, which is the unit of a fault's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import attrs
import numpy as np

STEPS, BURN, BEFORE = 400, 100, 200

Floats = np.ndarray[Any, np.dtype[np.float64]]
Draw = Callable[[np.random.Generator, int], Floats]


def normal(rng: np.random.Generator, size: int) -> Floats:
    """Return normal values."""
    return rng.standard_normal(size)


def student(degrees: float) -> Draw:
    """Return what draws from Student's distribution: the fewer degrees of freedom, the longer the tails."""
    return lambda rng, size: rng.standard_t(degrees, size)


def laplace(rng: np.random.Generator, size: int) -> Floats:
    """Return values from Laplace's distribution."""
    return rng.laplace(size=size)


def skewed(rng: np.random.Generator, size: int) -> Floats:
    """Return values from a gamma distribution of shape 4: upwards twice as far as downwards."""
    return rng.gamma(4.0, size=size) - 4.0


@attrs.frozen(kw_only=True)
class Family:
    """Healthy noise: x_t = sum a_i x_(t-i) + e_t + theta e_(t-1), with white noise beside it, and a swelling size.

    `white` is the share of the variance that white noise has. `swell` is by how much the standard deviation goes up and
    down over 300 steps, from a random phase.
    """

    a: tuple[float, ...] = ()
    theta: float = 0.0
    draw: Draw = normal
    white: float = 0.0
    swell: float = 0.0

    def __call__(self, rng: np.random.Generator) -> Floats:
        """Draw one series, [400]."""
        e = self.draw(rng, BEFORE + STEPS)
        x = e.copy()
        x[1:] += self.theta * e[:-1]
        for t in range(1, x.size):
            for i, weight in enumerate(self.a[:t], start=1):
                x[t] += weight * x[t - i]
        x = x[BEFORE:] / self.size
        x = np.sqrt(1 - self.white) * x + np.sqrt(self.white) * rng.standard_normal(STEPS)
        return x * (1 + self.swell * np.sin(2 * np.pi * (np.arange(STEPS) / 300 + rng.random())))

    @cached_property
    def size(self) -> float:
        """The standard deviation of x: that of what is drawn, times the length of the impulse response."""
        response = np.zeros(500)
        response[:2] = 1.0, self.theta
        for t in range(1, response.size):
            response[t] += sum(weight * response[t - i] for i, weight in enumerate(self.a[:t], start=1))
        deviation = float(np.std(self.draw(np.random.default_rng(0), 400_000)))
        return deviation * float(np.sqrt(np.sum(response**2)))


FITTED_ON: Mapping[str, Family] = {"AR(1) 0.2": Family(a=(0.2,)), "AR(1) 0.7": Family(a=(0.7,))}
HELD_OUT: Mapping[str, Family] = {
    "AR(1) 0": Family(),
    "AR(1) 0.5": Family(a=(0.5,)),
    "AR(1) 0.9": Family(a=(0.9,)),
    "AR(1) 0.97": Family(a=(0.97,)),
    "AR(2) 1.2, -0.6": Family(a=(1.2, -0.6)),
    "ARMA(1,1) 0.7, 0.4": Family(a=(0.7,), theta=0.4),
    "AR(1) 0.9, a third white": Family(a=(0.9,), white=1 / 3),
    "Student's t 4": Family(draw=student(4)),
    "AR(1) 0.9, Student's t 4": Family(a=(0.9,), draw=student(4)),
    "Student's t 8": Family(draw=student(8)),
    "AR(1) 0.3, skewed": Family(a=(0.3,), draw=skewed),
    "AR(1) 0.3, swelling by 10 %": Family(a=(0.3,), swell=0.1),
}

_T = np.arange(STEPS)
_AFTER = _T >= 250
_RAMP = np.clip((_T - BURN) / (STEPS - BURN), 0, None) * (-1.0) ** _T
Fault = tuple[str, Callable[[Floats], Floats]]
FAULTS: Mapping[str, Fault] = {
    "spike of 5": ("X", lambda e: e + 5 * (_T == 280)),
    "spike of 6": ("X", lambda e: e + 6 * (_T == 280)),
    "jump of 5 that decays over 10 steps": ("X", lambda e: e + 5 * np.where(_T >= 280, np.exp((280 - _T) / 10), 0)),
    "noise 1.41 times as large": ("V", lambda e: e * np.where(_AFTER, 2**0.5, 1)),
    "noise 2 times as large": ("V", lambda e: e * np.where(_AFTER, 2, 1)),
    "noise growing to 3 times over 300 steps": ("V", lambda e: e * np.interp(_T, [BURN, STEPS], [1, 3])),
    "shift of 2": ("D", lambda e: e - 2 * _AFTER),
    "shift of 3": ("D", lambda e: e - 3 * _AFTER),
    "shift of 3 over 50 steps": ("D", lambda e: e - 3 * np.clip((_T - 225) / 50, 0, 1)),
    "period 2 growing to 2": ("P", lambda e: e + 2 * _RAMP),
}
"""What is put into noise of standard deviation 1, and the test that it is for."""


def drifting(noise: Floats) -> Floats:
    """Return `noise` on the drift that healthy training has."""
    return noise - np.log(_T + 1.0)
