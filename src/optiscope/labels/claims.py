"""What the seed paper claims of its eight cells, and how far measured verdicts agree with it.

Ando, Fukuhara and Takefuji (IJAINN 3(4), 2023) call each of SGD and Adam at batch sizes 50, 100, 150 and 200 stable or
unstable, in four places of their text that contradict one another. So there is not one table to agree with but four
(`CLAIMS`), and cells that a place does not speak of count for nothing there.

Agreement is the share of the claimed cells of which a run with a new seed would be what is claimed: the mean over
cells of P(unstable) where "unstable" is claimed, and of 1 - P(unstable) where "stable" is. Its interval comes from the
posterior of every cell, Beta(k + 1/2, n - k + 1/2) as for the Jeffreys interval. Chance is the agreement that claims
with as many "unstable" in them would reach if they were shuffled over the cells: a mean that is no higher says that
the claim knows nothing about which cells they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs
import numpy as np

from optiscope.labels.cells import Probability

Family = Literal["sgd", "adam"]
Place = tuple[Family, int]
"""A cell of the paper: the optimizer and the batch size."""

BATCH_SIZES = (50, 100, 150, 200)


def _claim(sgd: str, adam: str) -> dict[Place, bool]:
    """Return claims written as a letter a batch size: S stable, U unstable, - nothing said."""
    letters: dict[Family, str] = {"sgd": sgd, "adam": adam}
    return {
        (family, size): letter == "U"
        for family, said in letters.items()
        for size, letter in zip(BATCH_SIZES, said, strict=True)
        if letter != "-"
    }


CLAIMS: Mapping[str, Mapping[Place, bool]] = {
    "section V.B, the list (2, 4, 6, 7)": _claim("USUS", "USSU"),
    "section V.B, SGD 1 and 4, Adam 6 and 7": _claim("SUUS", "USSU"),
    "section V.B, the prose": _claim("S-UU", "U--U"),
    "the conclusion": _claim("SUSU", "USUS"),
}
"""Which cells each place of the paper calls unstable; those that it leaves out of a list of stable ones are unstable by
omission, and the other way round."""

DRAWS = 4000
SEED = 20230430


@attrs.frozen(kw_only=True)
class Agreement:
    """How far one place of the paper agrees with what was measured.

    `mean` is the share of the `claimed` cells that a new seed would bear out, `low` to `high` its interval at 95 %, and
    `chance` what shuffled claims would reach. `measured` are those of the claimed cells in which a run was decided; the
    others count as P = 1/2, with everything between 0 and 1 in the interval.
    """

    claim: str
    claimed: int
    measured: int
    mean: float
    low: float
    high: float
    chance: float


def agreement(claim: str, measured: Mapping[Place, Probability]) -> Agreement:
    """Return how far a claim of `CLAIMS` agrees with P(unstable) as `measured`, which holds every cell of the paper."""
    said = CLAIMS[claim]
    cells = [measured[place] for place in said]
    unstable = np.array(list(said.values()))
    a = np.array([cell.unstable + 0.5 for cell in cells])
    b = np.array([cell.decided - cell.unstable + 0.5 for cell in cells])
    p = np.random.default_rng(SEED).beta(a, b, size=(DRAWS, len(cells)))
    low, high = np.quantile(np.where(unstable, p, 1 - p).mean(axis=1), (0.025, 0.975))
    mean_p = a / (a + b)
    share, average = float(unstable.mean()), float(mean_p.mean())
    return Agreement(
        claim=claim,
        claimed=len(cells),
        measured=sum(cell.decided > 0 for cell in cells),
        mean=float(np.where(unstable, mean_p, 1 - mean_p).mean()),
        low=float(low),
        high=float(high),
        chance=share * average + (1 - share) * (1 - average),
    )
