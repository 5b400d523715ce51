"""The optimizers of optax in optiscope: any function that returns a GradientTransformation, by its name.

    optiscope characterize --optimizers optax:lion --lrs 1e-4

Importing JAX takes seconds. So nothing here does, until somebody names one of them: they are a family, which the host
loads then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optiscope.hooks import Family, hookimpl


@hookimpl
def optiscope_optimizers() -> Sequence[Any]:
    """Bring the transformations of optax."""

    def load() -> Sequence[Any]:
        from optiscope_optax.optimizers import optimizers

        return optimizers()

    return [Family("optax", load)]
