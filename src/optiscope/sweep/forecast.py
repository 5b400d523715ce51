"""How long runs will still take: the one rule behind the time left of a grid and the cost that `--dry-run` tells.

A run is of a kind (its model, optimizer and batch size, whose steps cost the same), has steps to make, and costs
something apart from them: preparing it, and making its files. What a kind costs a step is known from runs of it that
are under way. Where none is, another kind stands for it, of the same model, the same optimizer and the nearest batch
size if there is one: a step costs as much as its images and `STEP_ITSELF` more do; where there are no images, all steps
cost the same.

Runs that share workers take as long as the worker that ends last: each of them takes the next run when it is through
with one, the longest first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

import attrs

from optiscope.records import RunInfo

Kind = tuple[str, str, int]
"""Model, optimizer and batch size."""

STEP_ITSELF = 10
"""Images whose cost is that of what a step does once, however large its batch."""


def kind_of(run: RunInfo) -> Kind:
    """Return the kind of a run."""
    return run.model, run.optimizer, run.batch_size


@attrs.frozen(kw_only=True)
class Pace:
    """What is known of the cost of runs: seconds a step by kind, and seconds a run apart from its steps.

    `images` says whether a step costs more with a larger batch.
    """

    step: Mapping[Kind, float]
    run: float = 0.0
    images: bool = True

    def of(self, kind: Kind) -> float | None:
        """Return the seconds that a step of `kind` takes, None where no kind is known."""
        if kind in self.step or not self.step:
            return self.step.get(kind)
        model, optimizer, size = kind
        nearest = min(self.step, key=lambda known: (known[0] != model, known[1] != optimizer, abs(known[2] - size)))
        scale = (size + STEP_ITSELF) / (nearest[2] + STEP_ITSELF) if self.images else 1.0
        return self.step[nearest] * scale


def makespan(waiting: Iterable[float], workers: int, under_way: Sequence[float] = ()) -> float:
    """Return when `workers` are through with the runs `under_way` and then with those `waiting`, the longest first.

    Both are in seconds that a run still takes.
    """
    free = [*under_way, *[0.0] * (workers - len(under_way))]
    heapq.heapify(free)
    for seconds in sorted(waiting, reverse=True):
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)
