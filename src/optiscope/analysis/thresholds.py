"""The constants of the four tests, as fitted by `tests/validation/fit.py`. That script prints what stands here."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class Thresholds:
    """What the tests X, V, D and P leave to experience; `version` names the fit that it comes from.

    `tail_stretch` is what an estimated tail weight is multiplied by, after `tail_margin` is taken off: the most
    that normal noise seems to have by chance. `shares` are the parts of the family's level that the tests start with.
    `least` are the effects from which on what is significant also matters: for V a log ratio of standard deviations, for
    D a height in standard deviations of r, for P the anti-correlation of the differences in the second half.
    """

    version: str
    tail_stretch: float
    tail_margin: float
    least: Mapping[str, float]


FITTED = Thresholds(
    version="provisional-2",
    tail_stretch=1.3,
    tail_margin=0.015,
    least={"X": 0.0, "V": 0.17, "D": 1.0, "P": 0.75},
)
