"""The constants of the four tests, as fitted by `tests/validation/fit.py`. That script prints what stands here."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class Thresholds:
    """What the tests X, V, D and P leave to experience; `version` names the fit that it comes from.

    An estimated tail weight is multiplied by `tail_stretch`. `least` are the effects from which on what is significant
    also matters: for V a log ratio of standard deviations, for D a height in standard deviations of r, for P the
    anti-correlation of the differences in the second half.
    """

    version: str
    tail_stretch: float
    least: Mapping[str, float]


FITTED = Thresholds(
    version="fitted-df4ef6b8",
    tail_stretch=1.0,
    least={"X": 0.0, "V": 0.15, "D": 1.15, "P": 0.85},
)
