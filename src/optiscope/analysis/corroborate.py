"""Does a second witness see what the signal shows?

An alarm on the signal alone is not instability: healthy training moves its logits about. It is corroborated when the
loss, or the norm of the whole gradient, gets worse in the same way at the same time. That is: measured as the
envelope is (same burn-in, running median, model of the noise and levels), the same statistic alarms on it, *upwards*,
over steps that overlap with those of the alarm, give or take the 25 steps that the running median cannot resolve.

Upwards means: X, the loss jumps up by more than the limit; V, its noise grows; D, it shifts upwards. A falling loss,
however crookedly it falls, is no witness. Alarm R, and alarms of other analyzers, can be corroborated by any of the
three. The loss is taken as it is and not its logarithm, whose noise grows in every healthy run as the loss nears zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from optiscope.analysis.detectors import WINDOW
from optiscope.analysis.envelope import measure
from optiscope.analysis.finding import Alarm, StepRange
from optiscope.analysis.robust import Floats

SLACK = WINDOW // 2


@attrs.frozen(kw_only=True)
class Witness:
    """A series that got worse when the signal alarmed: `alarm` is the signal's, `seen` the series' own."""

    series: str
    alarm: Alarm
    seen: Alarm


def corroborate(alarms: Sequence[Alarm], witnesses: Mapping[str, Floats], burn: int) -> Witness | None:
    """Return the first witness of any of `alarms`, or None.

    `witnesses` maps the names of series to values at every step, [T]; `burn` steps are dropped. Only the steps
    before the first that is not finite are used.
    """
    for name, values in witnesses.items() if alarms else ():
        bad = np.flatnonzero(~np.isfinite(values))
        measured = measure(values[: bad[0]] if bad.size else values, burn)
        if measured is None:
            continue
        for alarm in alarms:
            for seen in measured.alarms:
                alike = seen.name == alarm.name or alarm.name not in _OWN_WITNESS
                if alike and seen.name in measured.rising and _overlap(alarm.steps, seen.steps):
                    return Witness(series=name, alarm=alarm, seen=seen)
    return None


_OWN_WITNESS = ("X", "V", "D")


def _overlap(one: StepRange, other: StepRange) -> bool:
    return one[0] <= other[1] + SLACK and other[0] <= one[1] + SLACK
