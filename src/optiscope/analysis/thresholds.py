"""The constants that are fitted, and not reasoned. The scripts that fit them print what stands here:

FITTED      the four tests, on noise and faults that are put in     tests/validation/fit.py
LIMITS      outcome, collapse, roughness, setbacks, on runs         tests/validation/limits.py
"""

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


@attrs.frozen(kw_only=True)
class Limits:
    """What the rules on a whole run leave to experience; `version` names the fit that it comes from.

    `collapse` is what is left of the spread of the logits, in logits, up to which a network has collapsed, and `fall`
    the least fall of the log spread within ten steps that makes it a collapse; `roughness` the R, in spreads, from
    which on an envelope is rough; `harmless` is the setback of the loss, in units of that of a network that knows
    nothing, up to which an alarm does not count.
    """

    version: str
    collapse: float
    fall: float
    roughness: float
    harmless: float


LIMITS = Limits(
    version="fitted-64d87c41",
    collapse=0.13,
    fall=0.79,
    roughness=0.55,
    harmless=0.18,
)
