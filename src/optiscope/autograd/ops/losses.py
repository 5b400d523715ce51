"""Softmax cross-entropy."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from optiscope.autograd.node import Array, Node
from optiscope.autograd.tape import Tensor
from optiscope.autograd.vjp import Operation
from optiscope.errors import UsageError

Reduction = Literal["mean", "sum"]


def _forward(node: Node, logits: Array, labels: npt.NDArray[np.integer[Any]], reduction: Reduction) -> Array:
    """-log softmax(logits)[label], with the largest logit (by its real part) subtracted first against overflow."""
    _check(logits, labels, reduction)
    shifted = node.buffer("shifted", logits.shape, logits.dtype)
    np.subtract(logits, logits.real.max(axis=1, keepdims=True), out=shifted)
    softmax = np.exp(shifted, out=node.buffer("softmax", logits.shape, logits.dtype))
    total = softmax.sum(axis=1, keepdims=True)
    softmax /= total
    losses = np.log(total[:, 0]) - shifted[np.arange(len(labels)), labels]
    return np.asarray(losses.sum() if reduction == "sum" else losses.mean(), dtype=logits.dtype)


def _rule(node: Node, dy: Array) -> tuple[Array]:
    """(softmax - one-hot), over the batch size if the mean was taken."""
    labels = node.options["labels"]
    dx = node.grad(0)
    dx[...] = node.buffer("softmax", dx.shape, node.arrays[0].dtype)
    dx[np.arange(len(labels)), labels] -= 1
    dx *= dy if node.options["reduction"] == "sum" else dy / len(labels)
    return (dx,)


def _check(logits: Array, labels: npt.NDArray[np.integer[Any]], reduction: str) -> None:
    if reduction not in ("mean", "sum"):
        raise UsageError(f"a loss is reduced by 'mean' or 'sum', not {reduction!r}: choose one of them")
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or len(labels) == 0:
        raise UsageError(
            f"softmax_cross_entropy takes logits [B, K] and labels [B] with B >= 1, not {logits.shape} and "
            f"{labels.shape}: give one label for each row"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise UsageError(
            f"labels must be 0 ... {logits.shape[1] - 1} for {logits.shape[1]} classes, not {labels.min()} ... "
            f"{labels.max()}: check the data, or give the model as many outputs as there are classes"
        )


_SOFTMAX_CROSS_ENTROPY = Operation("softmax_cross_entropy", _forward, _rule)

ROWS = (_SOFTMAX_CROSS_ENTROPY,)


def softmax_cross_entropy(
    logits: Tensor, labels: npt.NDArray[np.integer[Any]], reduction: Reduction = "mean"
) -> Tensor:
    """Return -log softmax(logits)[label] over a batch as a tensor of shape (): logits [B, K], labels [B], integer.

    `reduction` "mean" divides the sum over the batch by B. UsageError for labels outside 0 ... K - 1.
    """
    return _SOFTMAX_CROSS_ENTROPY(logits, labels=labels, reduction=reduction)
