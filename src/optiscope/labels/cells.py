"""From the verdicts of runs to what is said about a cell: everything that a run was, but for its seed.

Seeds turn verdicts into a probability. Of the runs that were decided some were unstable; the Jeffreys interval on
P(unstable) says how much that tells. A cell is stable or unstable when the interval lies on one side of 0.5, else
undecided. None unstable among three seeds still leaves P(unstable) up to 0.54, so it takes four seeds that agree.
With a single seed there is no interval worth the name: the cell has the run's verdict, and is marked "one seed".

Every cell says why. Where that is the interval, more seeds may decide (`Probability.unsettled`), and `optiscope.sweep`
can add them one by one. Where it is that most runs are undecided, they would not: the same holds for the seeds to come,
and a verdict would rest on the few that are the exception.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from optiscope.analysis import jeffreys
from optiscope.config import parse_spelling
from optiscope.labels.verdict import RunVerdict, Verdict

ONE_SEED: Literal["one seed"] = "one seed"


@attrs.frozen(kw_only=True)
class Probability:
    """P(unstable) from `unstable` of `decided` runs: posterior mean under Jeffreys' prior, and interval.

    Without a decided run the mean is 0.5 and the interval (0, 1). `confidence` is that of the interval.
    """

    unstable: int
    decided: int
    undecided: int
    mean: float
    low: float
    high: float
    confidence: float = 0.95

    @classmethod
    def of(cls, unstable: int, decided: int, undecided: int = 0, confidence: float = 0.95) -> Probability:
        """Return what so many runs say; ValueError where there are more unstable runs than decided ones."""
        low, high = jeffreys(unstable, decided, confidence)
        mean = (unstable + 0.5) / (decided + 1)
        counts = {"unstable": unstable, "decided": decided, "undecided": undecided}
        return cls(**counts, mean=mean, low=low, high=high, confidence=confidence)

    @property
    def side(self) -> Verdict:
        """On which side of 0.5 the interval lies; "undecided" where it has both."""
        if self.low > 0.5:
            return "unstable"
        return "stable" if self.high < 0.5 else "undecided"

    @property
    def unsettled(self) -> bool:
        """Whether more seeds may decide: the interval has both sides of 0.5, and not most runs are undecided.

        Most are where the Jeffreys interval on their share, at the same confidence, lies above 0.5.
        """
        least, _ = jeffreys(self.undecided, self.decided + self.undecided, self.confidence)
        return self.side == "undecided" and least <= 0.5


@attrs.frozen(kw_only=True)
class Cell:
    """A cell of the grid. `options` are the optimizer's. `confidence` is that of the interval, or "one seed".

    `why` is a sentence on its verdict.
    """

    optimizer: str
    options: Mapping[str, Any]
    batch_size: int
    lr: float
    reduction: str
    model: str
    data: str
    verdict: Verdict
    confidence: float | Literal["one seed"]
    why: str = ""
    p_unstable: Probability
    runs: tuple[RunVerdict, ...]

    @property
    def seeds(self) -> int:
        """How many it took."""
        return len(self.runs)


IDENTITY = ("optimizer", "optimizer_options", "batch_size", "lr", "reduction", "model", "data")
"""What runs of one cell have in common, by the names in their `config`."""


def cell_key(config: Mapping[str, Any]) -> str:
    """Return what runs of one cell have in common, and no other cell's, from the `config` of one of them."""
    return json.dumps({name: config[name] for name in IDENTITY}, sort_keys=True, default=str)


def form_cells(
    labelled: Iterable[tuple[Mapping[str, Any], RunVerdict]], confidence: float = 0.95, order: Sequence[str] = ()
) -> tuple[Cell, ...]:
    """Return the cells of runs, given as their `config` and verdict: by optimizer, lr, batch size; runs by seed.

    Optimizers come in `order`, spelled as in `GridConfig.optimizers`, and after them by name those that it does not
    hold; those of one optimizer by its options, model and reduction.
    """
    groups: dict[str, tuple[Mapping[str, Any], list[RunVerdict]]] = {}
    for config, verdict in labelled:
        groups.setdefault(cell_key(config), (config, []))[1].append(verdict)
    cells = [_form_cell(what, runs, confidence) for what, runs in groups.values()]
    asked = [parse_spelling(spelled) for spelled in order]

    def place(cell: Cell) -> tuple[Any, ...]:
        setting = (cell.optimizer, str(cell.options), cell.model, cell.reduction)
        return _rank(cell, asked), *setting, cell.lr, cell.batch_size

    return tuple(sorted(cells, key=place))


def _rank(cell: Cell, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> int:
    """Return the place of the optimizer, among those `asked` for, that a cell is of: the one that says most of it."""
    known = {**cell.options, "lr": cell.lr}

    def fit(at: int) -> tuple[int, int, int]:
        alike = [_plain(known.get(key)) == _plain(value) for key, value in asked[at][1].items()]
        return alike.count(False), -alike.count(True), at

    places = [at for at, (name, _) in enumerate(asked) if name == cell.optimizer]
    return min(places, key=fit, default=len(asked))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _form_cell(what: Mapping[str, Any], runs: Iterable[RunVerdict], confidence: float) -> Cell:
    ordered = tuple(sorted(runs, key=lambda run: (run.seed, run.run_id)))
    p = probability(ordered, confidence)
    verdict = ordered[0].verdict if len(ordered) == 1 else p.side
    return Cell(
        optimizer=what["optimizer"],
        options=what["optimizer_options"],
        batch_size=what["batch_size"],
        lr=what["lr"],
        reduction=what["reduction"],
        model=what["model"],
        data=what["data"],
        verdict=verdict,
        confidence=ONE_SEED if len(ordered) == 1 else confidence,
        why=ordered[0].why if len(ordered) == 1 else _why(p, ordered),
        p_unstable=p,
        runs=ordered,
    )


def probability(runs: Iterable[RunVerdict], confidence: float = 0.95) -> Probability:
    """Return P(unstable) over the decided ones among `runs`."""
    verdicts = [run.verdict for run in runs]
    unstable, undecided = verdicts.count("unstable"), verdicts.count("undecided")
    return Probability.of(unstable, len(verdicts) - undecided, undecided, confidence)


def _why(p: Probability, runs: Sequence[RunVerdict]) -> str:
    """Return why several runs make the verdict that they make: what they leave of P(unstable), and one run's reason."""
    undecided = [run for run in runs if run.verdict == "undecided"]
    lost = (
        f"{len(undecided)} of {len(runs)} runs are undecided, the first because {undecided[0].why}" if undecided else ""
    )
    if not p.decided:
        return lost
    said = f"{_counted(p)}: {_left(p)}"
    if p.side != "undecided":
        alike = next(run for run in runs if run.verdict == p.side)
        more = f", {len(undecided)} more undecided" if undecided else ""
        return f"{said}{more}; seed {alike.seed}: {alike.why}"
    if not p.unsettled:
        return f"{lost}; {said}"
    both = f"{said}, which leaves both sides of 0.5 open after {len(runs)} seeds: more seeds may decide"
    return f"{both}; {lost}" if lost else both


def _counted(p: Probability) -> str:
    if p.decided == 1:
        return f"the only decided run is {'unstable' if p.unstable else 'stable'}"
    runs = f"{p.decided} decided runs" if p.undecided else f"{p.decided} runs"
    if p.unstable in (0, p.decided):
        return f"none of {runs} is unstable" if p.unstable == 0 else f"all {runs} are unstable"
    return f"{p.unstable} of {runs} {'is' if p.unstable == 1 else 'are'} unstable"


def _left(p: Probability) -> str:
    """Return the interval in words: an upper or a lower bound, at the confidence of one side, where all runs agree."""
    if p.unstable in (0, p.decided):
        bound = f"below {p.high:.2f}" if p.unstable == 0 else f"above {p.low:.2f}"
        return f"P(unstable) is {bound} with {50 * (1 + p.confidence):g} %"
    return f"P(unstable) is between {p.low:.2f} and {p.high:.2f} with {100 * p.confidence:g} %"
