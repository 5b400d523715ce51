"""The two protocols between a run file and a rule.

`RunRecord` is the part of an opened run file that a rule may read; `Analyzer` is what a plugin registers with
`optiscope_analyzers`. An analyzer is a thin shell: it picks arrays out of the record and calls a pure function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from optiscope.analysis.finding import Finding

Axis = Literal["outcome", "dynamics", "signal", "report"]
Floats = npt.NDArray[np.float64]


class RunRecord(Protocol):
    """A run as it was recorded: what `optiscope.open_run` returns, live or finished.

    `steps` and `epochs` map the names of the file's `/step` and `/epoch` datasets to arrays, trimmed to the rows
    that were committed; `plugins` holds what other recorders wrote. `config` holds optimizer, optimizer_options,
    batch_size, lr, seed, reduction, model, data, steps and steps_per_epoch.
    """

    @property
    def run_id(self) -> str:
        """The run's identifier."""
        ...

    @property
    def path(self) -> Any:
        """Where its file is."""
        ...

    @property
    def status(self) -> str:
        """The word for how it ended, or "running"."""
        ...

    @property
    def why(self) -> str:
        """Why it ended so; empty where there is nothing to say."""
        ...

    @property
    def n_steps(self) -> int:
        """How many steps were committed."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """What was asked for, defaults filled in."""
        ...

    @property
    def steps(self) -> Mapping[str, npt.NDArray[Any]]:
        """One row a step."""
        ...

    @property
    def probe(self) -> Mapping[str, npt.NDArray[Any]]:
        """One row a probe, at the steps in `probe["step"]`; empty where there is none."""
        ...

    @property
    def epochs(self) -> Mapping[str, npt.NDArray[Any]]:
        """One row an epoch."""
        ...

    @property
    def plugins(self) -> Mapping[str, Mapping[str, npt.NDArray[Any]]]:
        """What other recorders wrote: recorder to signal to array."""
        ...


class Analyzer(Protocol):
    """A rule that judges a run. The plugin host makes one instance; it keeps nothing between runs.

    A name and `analyze` are enough. It may also have `rule_version`, a str, and

        axis        one of `Axis`: which of the verdict's axes the finding belongs to. Findings on "report", which is
                    what an analyzer without an axis gets, are shown and never judged.
        required    True where the analyzer must pass for a run to be called stable. False without it.
        decisive    True where the finding, unless it is "info", takes the place of every other rule on outcome and
                    signal, but for one that says "non-finite": for an analyzer that knows, where others infer.
                    False without it.
    """

    name: ClassVar[str]

    def analyze(self, run: RunRecord) -> Finding:
        """Return what the rule says about `run`; raising disables the analyzer for this run, and is recorded."""
        ...


def series(run: RunRecord, name: str) -> Floats:
    """Return the per-step series `name` as float64, [T] or [T, ...]; empty where the run does not have it."""
    if name not in run.steps:
        return np.empty(0)
    return np.asarray(run.steps[name], dtype=np.float64)


def gradient_norm(run: RunRecord) -> Floats:
    """Return the norm of the whole gradient at every step, [T], from the norms of its parts; empty if not there."""
    norms = series(run, "grad_norm")
    if norms.ndim < 2 or not norms.shape[1]:
        return norms.reshape(-1)
    return np.asarray(np.sqrt(np.sum(np.square(norms), axis=1)))


def chance_loss(run: RunRecord) -> float | None:
    """Return the loss of guessing, log K, where the outputs of the network are logits of K classes; else None."""
    config = run.config
    outputs = config.get("outputs")
    if config.get("output", "logits") != "logits" or not isinstance(outputs, int) or outputs < 2:
        return None
    return math.log(outputs)
