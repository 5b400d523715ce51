"""Is every number a number? The one way of failing that needs no threshold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from optiscope.analysis.finding import Finding

RULE = "1"


def first_non_finite(values: npt.NDArray[np.floating]) -> int | None:
    """Return the first step (counted from 1) whose row of `values`, [T] or [T, ...], holds a NaN or an infinity."""
    if not values.size:
        return None
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return int(np.argmax(bad)) + 1 if bad.any() else None


def finite(arrays: Mapping[str, npt.NDArray[np.floating]], diverged: bool = False, said: str = "") -> Finding:
    """Judge whether all `arrays` (name to [T] or [T, ...], one row a step) are finite.

    `diverged` is what the run itself says: it stops at the first number that is not finite, which may be a
    parameter's and then is in no recorded series. `said` is its own sentence on that, which knows best: in the last
    row of such a run, series that could not be recorded any more are not finite either. The statistic is the first bad
    step; there is no limit.
    """
    n_steps = max((len(values) for values in arrays.values()), default=0)
    steps = (1, n_steps) if n_steps else None
    bad = {name: step for name, values in arrays.items() if (step := first_non_finite(values)) is not None}
    if not bad and not diverged:
        if not n_steps:
            return Finding(name="finite", rule_version=RULE, result="undecided", why="no step was recorded")
        why = f"every recorded number is finite over {n_steps} steps"
        return Finding(name="finite", rule_version=RULE, result="pass", steps=steps, why=why)
    if diverged and said:
        first, why = n_steps, said
    elif bad:
        name = min(bad, key=lambda key: bad[key])
        first, why = bad[name], f"{name} is not finite at step {bad[name]}"
    else:
        first, why = n_steps + 1, f"a number that is not recorded was not finite after step {n_steps}"
    return Finding(
        name="finite",
        rule_version=RULE,
        result="fail",
        kind="non-finite",
        statistic=float(first),
        direction="below",
        steps=steps,
        first_step=first,
        why=why,
    )
