"""In which order a run sees the training images.

    paper        batches are cut once, in file order; every epoch shuffles only the order of the batches
    reshuffle    every epoch deals all images anew

Both drop the last, partial batch of an epoch, so that every update sees as many images as any other. With `paper` it is
the same few images that are never seen.

The order of epoch k is a function of the seed and k alone: epoch k has the generator that the k-th child of the seed
sequence would have. A run that is taken up again asks for the epoch it was in, and need not replay those before.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.errors import UsageError

Order = Literal["paper", "reshuffle"]
Batch = slice | npt.NDArray[np.intp]
"""Which images are in a batch: a slice (of neighbours, taken without a copy) or int [B] indices."""


def _at_least_one(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    if value < 1:
        raise UsageError(f"{attribute.name} must be a whole number >= 1, not {value!r}")


def _known(_: Any, __: Any, value: str) -> None:
    if value not in ("paper", "reshuffle"):
        raise UsageError(f"the batch order must be paper or reshuffle, not {value!r}")


def child(seed: np.random.SeedSequence, k: int) -> np.random.SeedSequence:
    """Return the `k`-th child (from 0) that `seed` would spawn, whatever it has spawned."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, k))


@attrs.frozen
class Batches:
    """The batches of every epoch, for `samples` images in batches of `batch_size`.

    `seed` is this purpose's own child of the run's seed sequence. Raises UsageError where a batch is larger than the
    data.
    """

    order: Order = attrs.field(validator=_known)
    samples: int = attrs.field(validator=_at_least_one)
    batch_size: int = attrs.field(validator=_at_least_one)
    seed: np.random.SeedSequence

    def __attrs_post_init__(self) -> None:
        """Refuse a batch that no epoch can fill."""
        if self.batch_size > self.samples:
            raise UsageError(
                f"a batch of {self.batch_size} is larger than the {self.samples} training images: "
                f"ask for a batch size of at most {self.samples}"
            )

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches an epoch has."""
        return self.samples // self.batch_size

    def epoch(self, k: int) -> list[Batch]:
        """Return the batches of epoch `k` (any number >= 0), in the order in which they are seen."""
        rng = np.random.default_rng(child(self.seed, k))
        size, steps = self.batch_size, self.steps_per_epoch
        if self.order == "paper":
            return [slice(b * size, (b + 1) * size) for b in rng.permutation(steps).tolist()]
        return list(rng.permutation(self.samples)[: steps * size].reshape(steps, size))
