"""PyTorch and optiscope: the optimizers of `torch.optim` there, and recordings of PyTorch training for it.

    optiscope characterize --optimizers torch:RAdam      any class of torch.optim, by its name
    with record("out", model, optimizer, ...): ...       your own training, recorded as optiscope's is

Importing PyTorch takes seconds. So nothing here does, until one of the two is used: the optimizers are a family, which
the host loads when somebody names one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optiscope.hooks import Family, hookimpl

if TYPE_CHECKING:
    from optiscope_torch.recording import Attached, record

__all__ = ["Attached", "record"]


@hookimpl
def optiscope_optimizers() -> Sequence[Any]:
    """Bring the classes of torch.optim."""

    def load() -> Sequence[Any]:
        from optiscope_torch.optimizers import optimizers

        return optimizers()

    return [Family("torch", load)]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'optiscope_torch' has no attribute {name!r}")
    from optiscope_torch import recording

    return getattr(recording, name)
