"""What is reported of a run and never judged: scales of which the literature has folklore, and no limits.

    update ratio    norm of an update over the norm of the weights; "about 1e-3" is folklore
    noise scale     tr(S) / |G|^2, in examples: above a batch of that size a larger one hardly helps
                    (McCandlish et al., arXiv 1812.06162)
    adam-rms        sqrt(mean(g^2 / max(v, e^2))): how much larger a gradient is than Adam's memory of it
                    (StableAdamW, arXiv 2304.13013)

None of them may fail a run; each says what it lacks where the file does not have it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from optiscope.analysis.finding import Finding
from optiscope.analysis.robust import Floats

RULE = "1"
RMS_SPIKE = 2.3


def weight_norms(histograms: npt.NDArray[np.integer], edges: Floats) -> Floats:
    """Return the norms of parameters, [E, P], from how many values are in each bin, [E, P, bins], within a few percent.

    `edges` has the bins + 1 edges, the outer ones infinite. A value counts as the geometric mean of its bin's edges, as
    half of the inner edge next to zero, and as the edge itself in the bins without an end.
    """
    size = np.abs(edges)
    low, high = np.minimum(size[:-1], size[1:]), np.maximum(size[:-1], size[1:])
    middle = np.where(np.isfinite(high), np.sqrt(low * np.where(np.isfinite(high), high, 0)), low)
    middle = np.where(low == 0, high / 2, middle)
    return np.asarray(np.sqrt(histograms @ middle**2))


def update_ratio(update_norm: Floats, weight_norm: Floats, steps: npt.NDArray[np.integer]) -> Finding:
    """Report the norm of the last update of the last epoch over that of the weights.

    `update_norm` is [T, P], one row a step; `weight_norm` [E, P] holds the norms after each of `steps`, [E].
    """
    name = "update-ratio"
    rows = [int(step) for step in steps if 0 < step <= len(update_norm)]
    if not rows or not update_norm.size or not len(weight_norm):
        why = "no epoch ended whose updates and weights were both recorded"
        return Finding(name=name, rule_version=RULE, result="undecided", why=why)
    moved, weights = update_norm[rows[-1] - 1], weight_norm[len(rows) - 1]
    total = float(np.linalg.norm(weights))
    ratio = float(np.linalg.norm(moved)) / total if total > 0 else np.nan
    if not np.isfinite(ratio):
        why = f"the update of step {rows[-1]} or the weights after it are zero or not finite"
        return Finding(name=name, rule_version=RULE, result="undecided", why=why)
    each = moved[weights > 0] / weights[weights > 0]
    why = (
        f"the update of step {rows[-1]} is {ratio:.2g} of the weights, and of single parameters "
        f"{each.min():.2g} to {each.max():.2g}"
    )
    return Finding(name=name, rule_version=RULE, result="info", statistic=ratio, steps=(rows[-1], rows[-1]), why=why)


@np.errstate(all="ignore")  # rows of a run that was not finite any more
def noise_scale(grad_norm: Floats, cosine: Floats, batch_size: int) -> Finding:
    """Report the gradient noise scale of the second half, in examples.

    `grad_norm` [T] is the norm of the whole gradient and `cosine` [T] that of its angle with the one before. Two
    batches share |G|^2 in their product g . g', while |g|^2 has tr(S) / B more: from the means of both over the second
    half, where G changes slowly, scale = B (mean |g|^2 - mean g . g') / mean g . g'.
    """
    name = "noise-scale"
    n = min(grad_norm.size, cosine.size)
    if n < 2:
        why = "two gradients of a step are needed: install the recorder optiscope-gradient-angle"
        return Finding(name=name, rule_version=RULE, result="undecided", why=why)
    first = max(n // 2, 1)
    product = cosine[first:n] * grad_norm[first:n] * grad_norm[first - 1 : n - 1]
    square = grad_norm[first:n] ** 2
    known = np.isfinite(product) & np.isfinite(square)
    if not known.any():
        return Finding(name=name, rule_version=RULE, result="undecided", why="no gradient of the second half is finite")
    shared, whole = float(np.mean(product[known])), float(np.mean(square[known]))
    steps = (first + 1, n)
    if shared <= 0:
        why = f"gradients of steps {first + 1} to {n} share no direction, so the noise scale is above what can be seen"
        return Finding(name=name, rule_version=RULE, result="info", steps=steps, why=why)
    scale = batch_size * max(whole - shared, 0.0) / shared
    why = f"the gradient noise scale of steps {first + 1} to {n} is {scale:.3g} examples, at a batch of {batch_size}"
    return Finding(name=name, rule_version=RULE, result="info", statistic=scale, steps=steps, why=why)


def adam_rms(rms: Floats, steps: npt.NDArray[np.integer]) -> Finding:
    """Report the largest of `rms`, [n] at `steps` [n], and how many of them are at least 2.3 (StableAdamW's alarm)."""
    name = "adam-rms"
    known = np.flatnonzero(np.isfinite(rms))
    if not known.size:
        why = "gradients over Adam's second moments were not recorded: set gradient-rms.every=10 before a run of Adam"
        return Finding(name=name, rule_version=RULE, result="undecided", why=why)
    at = int(known[np.argmax(rms[known])])
    spikes = known[rms[known] >= RMS_SPIKE]
    return Finding(
        name=name,
        rule_version=RULE,
        result="info",
        statistic=float(rms[at]),
        threshold=RMS_SPIKE,
        steps=(int(steps[known[0]]), int(steps[known[-1]])),
        first_step=int(steps[spikes[0]]) if spikes.size else None,
        why=(
            f"the gradient is at most {float(rms[at]):.3g} times Adam's memory of it (step {int(steps[at])}), and "
            f"{spikes.size} of {known.size} recorded steps have {RMS_SPIKE:g} or more"
        ),
    )
