"""A recorder: how large a step is, relative to the parameters that it changes.

For each named parameter, |update| / |w|. Where it is far smaller than elsewhere, a layer hardly learns; where it comes
near 1, a step replaces what was learned.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from optiscope.hooks import hookimpl
from optiscope.records import RunInfo, Signal


class MyPlugin:
    """Records `ratio`, a value for each named parameter at every step."""

    name: ClassVar[str] = "my-plugin"

    def signals(self, run: RunInfo) -> tuple[Signal, ...]:
        """Declare what will be written, before the run file is made."""
        return (
            Signal(
                "ratio",
                shape=(len(run.parameters),),
                dims=("param",),
                needs=("update", "params"),
                long_name="norm of the update over norm of the parameter, after the update",
            ),
        )

    def record(self, step: int, quantities: Mapping[str, Any]) -> Mapping[str, npt.ArrayLike]:
        """Return the row of `step`; NaN for a parameter that is zero."""
        update, params = quantities["update"], quantities["params"]
        return {"ratio": [ratio(update[name], params[name]) for name in params]}


def ratio(update: npt.NDArray[Any], w: npt.NDArray[Any]) -> float:
    """Return |update| / |w|, of two arrays of one shape."""
    length = float(np.linalg.norm(w))
    return float(np.linalg.norm(update)) / length if length else float("nan")


@hookimpl
def optiscope_recorders() -> Sequence[Any]:
    """Bring the recorder."""
    return [MyPlugin]
