"""What did it do to the loss? The witness that tells an alarm on the signal from an instability.

The signal of a healthy network moves about: it learns something, and its logits shift. An alarm is an instability where
the loss was set back meanwhile: where it lay, for a while, clearly above what had been reached. With m_t the running
median of the training loss over 25 steps and u the loss of a network that knows nothing, the setback over some steps is

    max over them of (m_t - min over s <= t of m_s) / u

In units of u a setback of 1 undoes all that training can bring. The median makes single batches count for nothing,
half a window of 12 steps being the shortest setback that is seen. A setback up to `LIMITS.harmless`, fitted to runs
that trained undisturbed, is none: the alarm is told, and does not count. From `HARMFUL` on, a quarter of all that
training can bring, it is an instability. Between the two nothing can be said, nor of a signal that is rough throughout
and did no harm.

The steps of an alarm are taken with 25 more on either side, which is what the running median of the signal cannot
resolve. The gradient is no witness: its norm rises in healthy runs as well, where something new is learned.
"""

from __future__ import annotations

import attrs
import numpy as np

from optiscope.analysis.finding import StepRange
from optiscope.analysis.outcome import untrained
from optiscope.analysis.robust import Floats, running_median

HARMFUL = 0.25
WINDOW = 25
SLACK = 25


@attrs.frozen
class Setback:
    """The largest setback over some steps, in units of u, and the step (from 1) at which it is reached."""

    size: float
    step: int


def setback(loss: Floats, steps: StepRange, chance: float | None = None) -> Setback | None:
    """Return the largest setback of the training loss, [T], over `steps`, give or take 25.

    `chance` is the loss of guessing, where it is known. Only the steps before the first that is not finite are used.
    None where none of them are, or where u is not above zero.
    """
    bad = np.flatnonzero(~np.isfinite(loss))
    loss = loss[: bad[0]] if bad.size else loss
    first, last = max(steps[0] - 1 - SLACK, 0), min(steps[1] + SLACK, loss.size)
    unit = untrained(loss, chance)
    if first >= last or unit is None:
        return None
    with np.errstate(over="ignore"):  # a loss near the largest float
        level = running_median(loss, WINDOW)
        rise = (level - np.minimum.accumulate(level))[first:last] / unit
    worst = int(np.argmax(rise))
    return Setback(size=float(rise[worst]), step=first + worst + 1)
