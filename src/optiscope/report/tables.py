"""The words and numbers of a report, as frozen rows of text; how they look is up to whoever shows them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from optiscope.config import GridConfig, spell, spell_value
from optiscope.names import names_of
from optiscope.report.inputs import Document

NOTHING = "\N{EN DASH}"

SETTING = ("optimizer", "options", "model", "data")
"""What an optimizer is told apart by in a row; the reduction has a place of its own."""


@attrs.frozen(kw_only=True)
class VerdictRow:
    """One cell of the grid in words. `optimizer` is its name, with what tells it from the others (`optiscope.names`).

    `p_unstable` is "mean (low to high)", `interval` the interval alone, or the bound that is left where all decided
    runs agree ("below 0.38"). `runs` is "1 of 3 unstable, 2 undecided", where 3 were decided, and `seeds` how many runs
    there are.
    """

    optimizer: str
    batch_size: str
    lr: str
    reduction: str
    verdict: str
    p_unstable: str
    interval: str
    runs: str
    seeds: str
    why: str

    @property
    def name(self) -> str:
        """What tells this cell from the others."""
        return f"{self.optimizer}, batch {self.batch_size}, lr {self.lr}, {self.reduction}"


@attrs.frozen(kw_only=True)
class AnalyzerRow:
    """What one analyzer says about one run, in words."""

    name: str
    rule_version: str
    statistic: str
    threshold: str
    result: str
    why: str


def number(value: Any) -> str:
    """Return a number as a person would write it, to four digits; a dash for None."""
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "not finite"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def verdict_rows(characterization: Document) -> tuple[VerdictRow, ...]:
    """Return a row a cell, in the order of the document, which is what characterization.json holds."""
    cells = characterization["cells"]
    settings = [{name: cell[name] for name in SETTING if name in cell} for cell in cells]
    names = names_of([{"optimizer": NOTHING} | setting for setting in settings])
    return tuple(_verdict_row(cell, name) for cell, name in zip(cells, names, strict=True))


def _verdict_row(cell: Document, name: str) -> VerdictRow:
    p, runs = cell.get("p_unstable") or {}, cell.get("runs") or ()
    mean, low, high = (NOTHING if p.get(key) is None else f"{p[key]:.2f}" for key in ("mean", "low", "high"))
    return VerdictRow(
        optimizer=name,
        batch_size=number(cell.get("batch_size")),
        lr=number(cell.get("lr")),
        reduction=str(cell.get("reduction", NOTHING)),
        verdict=str(cell.get("verdict", NOTHING)),
        p_unstable=f"{mean} ({low} to {high})",
        interval=_interval(p, low, high),
        runs=_count(p, len(runs)),
        seeds=str(len(runs)),
        why=str(cell.get("why") or _why(cell)),
    )


def _interval(p: Document, low: str, high: str) -> str:
    unstable, decided = (int(p.get(key) or 0) for key in ("unstable", "decided"))
    if not decided:
        return NOTHING
    if unstable in (0, decided):
        return f"below {high}" if unstable == 0 else f"above {low}"
    return f"{low} to {high}"


def spent(characterization: Document) -> str:
    """Return how many runs were made, and how many seeds the cells have: "43 runs, 3 to 9 seeds a cell"."""
    seeds = [len(cell.get("runs") or ()) for cell in characterization["cells"]] or [0]
    least, most = min(seeds), max(seeds)
    of_cell = f"{most} seed{'s' * (most != 1)} a cell" if least == most else f"{least} to {most} seeds a cell"
    return f"{sum(seeds)} run{'s' * (sum(seeds) != 1)}, {of_cell}"


def confidence_of(cell: Document) -> float:
    """Return the confidence of a cell's interval; documents of before cells said so have the default."""
    return float((cell.get("p_unstable") or {}).get("confidence", _DEFAULTS["confidence"]))


def _count(p: Document, runs: int) -> str:
    unstable, decided, undecided = (int(p.get(key) or 0) for key in ("unstable", "decided", "undecided"))
    words = f"{unstable} of {decided} unstable" if decided else "none decided"
    if runs == 1:
        return "one seed"
    return f"{words}, {undecided} undecided" if undecided else words


def _why(cell: Document) -> str:
    """Return why, for documents of before cells said so themselves: what the first run with the verdict says."""
    runs = cell.get("runs") or ()
    alike = [run for run in runs if run.get("verdict") == cell.get("verdict")]
    if alike:
        why = str(alike[0].get("why", ""))
        return why if len(runs) == 1 else f"seed {alike[0].get('seed')}: {why}"
    verdicts = [str(run.get("verdict")) for run in runs]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))
    return f"the seeds do not settle it: {counts}" if counts else "no runs"


def analyzer_rows(run: Document) -> tuple[AnalyzerRow, ...]:
    """Return a row for each analyzer that judged `run`, an entry of a cell's "runs"."""
    return tuple(
        AnalyzerRow(
            name=str(found.get("name", NOTHING)),
            rule_version=str(found.get("rule_version", NOTHING)),
            statistic=number(found.get("statistic")),
            threshold=number(found.get("threshold")),
            result=str(found.get("result", NOTHING)),
            why=str(found.get("why", "")),
        )
        for found in run.get("analyzers") or ()
    )


_COMMON = ("data", "model", "steps", "epochs", "train_samples", "reduction", "order", "schedule", "kernels", "threads")
_DEFAULTS = attrs.asdict(GridConfig(), recurse=False)


def command(configs: Iterable[Document], confidence: float = _DEFAULTS["confidence"]) -> str:
    """Return the shell command that makes runs of these `RunConfig`s, given as mappings, and their cells once more.

    Every cell has as many seeds as the one that has most. `confidence` is that of the cells.

    What equals the program's default is left out. Empty where there is no configuration to go by, as in what somebody's
    own program recorded.
    """
    runs = [run for run in configs if run.get("optimizer")]
    if not runs:
        return ""
    first = runs[0]
    options = _shared([run.get("options") or {} for run in runs])
    optimizers, lrs = _optimizers(runs, options)
    words = ["optiscope", "characterize", "--optimizers", *optimizers]
    words += ["--batch-sizes", *_axis(runs, "batch_size")]
    words += ["--lrs", *lrs] if lrs else []
    words += ["--seeds", str(1 + max(int(run.get("seed") or 0) for run in runs))]
    words += ["--confidence", f"{confidence:g}"] if confidence != _DEFAULTS["confidence"] else []
    for name in _COMMON:
        default = _DEFAULTS[name] if isinstance(_DEFAULTS[name], tuple) else (_DEFAULTS[name],)
        if (asked := _axis(runs, name)) and asked != [str(value) for value in default]:
            words += [f"--{name.replace('_', '-')}", *asked]
    for piece, values in options.items():
        for key, value in values.items():
            words += ["--set", f"{piece}.{key}={spell_value(value)}"]
    for flag, name in (("--plugin", "plugins"), ("--no-plugin", "block")):
        words += [flag, *map(str, first[name])] if first.get(name) else []
    words += ["--strict"] if first.get("strict") else []
    words += ["--budget", f"{first['budget']:g}"] if first.get("budget") is not None else []
    for name, factor in (first.get("thin") or {}).items():
        words += ["--thin", f"{name}={factor}"]
    return shlex.join(words)


def _axis(runs: list[Document], name: str) -> list[str]:
    return list(dict.fromkeys(str(run[name]) for run in runs if run.get(name) is not None))


def _shared(options: list[Mapping[str, Document]]) -> dict[str, dict[str, Any]]:
    """Return the options that all runs have."""
    first, *others = options
    shared = {
        piece: {key: value for key, value in values.items() if all(_has(other, piece, key, value) for other in others)}
        for piece, values in first.items()
    }
    return {piece: values for piece, values in shared.items() if values}


def _has(options: Mapping[str, Document], piece: str, key: str, value: Any) -> bool:
    return key in options.get(piece, {}) and bool(options[piece][key] == value)


def _optimizers(runs: list[Document], shared: Mapping[str, Document]) -> tuple[list[str], list[str]]:
    """Return the optimizers of the runs, spelled with the options that are not `shared`, and their learning rates.

    Where not all have the same learning rates, these stand among the options.
    """
    found: dict[str, tuple[str, dict[str, Any], list[Any]]] = {}
    for run in runs:
        name = str(run["optimizer"])
        given: Document = (run.get("options") or {}).get(name, {})
        own = {key: value for key, value in given.items() if not _has(shared, name, key, value)}
        lrs = found.setdefault(spell(name, own), (name, own, []))[2]
        lrs += [run.get("lr")] if run.get("lr") not in lrs else []
    scans = [lrs for _, _, lrs in found.values()]
    if all(set(lrs) == set(scans[0]) for lrs in scans):
        return list(found), [str(lr) for lr in scans[0] if lr is not None]
    every = ((name, own, lr) for name, own, lrs in found.values() for lr in lrs)
    return [spell(name, own if lr is None else {**own, "lr": lr}) for name, own, lr in every], []
