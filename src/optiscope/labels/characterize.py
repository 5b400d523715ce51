"""Runs the analyzers over recorded runs: one run, or every file of a folder. Nothing is trained."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import attrs
import numpy as np

import optiscope
from optiscope.analysis import Analyzer, Axis, Finding, RunRecord
from optiscope.config import Options
from optiscope.errors import RAISED, FileError, UsageError
from optiscope.hooks import PluginHost, create_manager
from optiscope.labels.cells import IDENTITY, form_cells
from optiscope.labels.document import Characterization
from optiscope.labels.verdict import Judged, RunVerdict, form_verdict


def build_analyzers(host: PluginHost, options: Options) -> list[Analyzer]:
    """Return an instance of every analyzer that the plugins of `host` bring, with its `options`."""
    return [host.build("analyzers", name, options.get(name, {})) for name in host.pieces("analyzers")]


def label(run: RunRecord | str | os.PathLike[str], host: PluginHost | None = None) -> RunVerdict:
    """Return what all analyzers make of a run, which is given opened or by its path.

    `host` brings the analyzers; without it the installed plugins do.
    """
    from optiscope.storage import open_run  # h5py is heavy, and labels can be read without it

    analyzers = build_analyzers(host or create_manager(), {})
    if isinstance(run, (str, os.PathLike)):
        with open_run(run) as opened:
            return label_run(opened, analyzers)
    return label_run(run, analyzers)


def label_run(run: RunRecord, analyzers: Iterable[Analyzer]) -> RunVerdict:
    """Return what `analyzers` make of `run`.

    One that raises is disabled for this run: its finding has the result "error" and the reason. If it was required,
    the run cannot be stable.
    """
    return form_verdict(run, [_judge(run, analyzer) for analyzer in analyzers])


def label_folder(
    out: str | os.PathLike[str],
    analyzers: Sequence[Analyzer],
    confidence: float = 0.95,
    order: Sequence[str] = (),
    known: Mapping[str, RunVerdict] | None = None,
    lost: Mapping[str, str] = MappingProxyType({}),
) -> Characterization:
    """Return the characterization of the run files in `out`/runs; UsageError where there is none.

    `confidence` is that of the intervals on P(unstable). `order` holds the optimizers in the order in which their
    cells shall come, and `known`, by run_id, verdicts that these analyzers have formed already. `lost` says of runs, by
    run_id, why they came to no end: what is known of them does not count, and where one left a file its verdict says
    so too. A file that cannot be read as a run is in no cell but named in `unreadable`; FileError where that is so of
    all of them.
    """
    folder = Path(out)
    paths = sorted((folder / "runs").glob("*.h5"))
    if not paths:
        raise UsageError(f"there are no run files in {folder / 'runs'}: give a folder that 'characterize' wrote")
    known = {run_id: verdict for run_id, verdict in (known or {}).items() if run_id not in lost}
    labelled, unreadable = [], {}
    for path in paths:
        relative = path.relative_to(folder).as_posix()
        try:
            config, verdict = _label_file(path, analyzers, known)
            why = f"{verdict.why}: {lost[verdict.run_id]}" if verdict.run_id in lost else verdict.why
            labelled.append((config, attrs.evolve(verdict, path=relative, why=why)))
        except FileError as error:
            unreadable[relative] = str(error).replace(str(path), relative)
    if not labelled:
        raise FileError(f"no run file in {folder / 'runs'} can be read: {next(iter(unreadable.values()))}")
    versions = {"optiscope": optiscope.__version__, "numpy": np.__version__, "python": platform.python_version()}
    cells = form_cells(labelled, confidence, order)
    return Characterization(cells=cells, versions=versions, unreadable_files=unreadable, lost=lost)


def _label_file(
    path: Path, analyzers: Iterable[Analyzer], known: Mapping[str, RunVerdict]
) -> tuple[Mapping[str, Any], RunVerdict]:
    """Return config and verdict of the run in the file `path`; FileError where it does not say what the run is."""
    from optiscope.storage import open_run  # h5py is heavy, and a characterization can be read without it

    with open_run(path) as run:
        try:
            config = {**run.config, "run_id": run.run_id}
        except (ValueError, KeyError, TypeError) as error:
            raise FileError(f"{path} does not say what the run is ({error}): make the run again") from error
        if missing := [key for key in (*IDENTITY, "steps_per_epoch") if key not in config]:
            raise FileError(f"{path} does not say what the run is (no {', '.join(missing)}): make the run again")
        return config, known.get(run.run_id) or label_run(run, analyzers)


def _judge(run: RunRecord, analyzer: Analyzer) -> Judged:
    axis: Axis = getattr(analyzer, "axis", "report")
    required = bool(getattr(analyzer, "required", False))
    try:
        if axis not in get_args(Axis):
            raise ValueError(f"its axis is {axis!r}, not one of {', '.join(get_args(Axis))}")
        finding = analyzer.analyze(run)
        if not isinstance(finding, Finding):
            raise TypeError(f"analyze returned {type(finding).__name__}, not a Finding")
    except RAISED as error:  # whatever a plugin raises must not take the verdicts of the others with it
        finding = Finding(
            name=analyzer.name,
            rule_version=getattr(analyzer, "rule_version", "unversioned"),
            result="error",
            why=f"analyzer '{analyzer.name}' was disabled: {type(error).__name__}: {' '.join(str(error).split())}",
        )
    decisive = bool(getattr(analyzer, "decisive", False))
    return Judged(finding, axis if axis in get_args(Axis) else "report", required, decisive)
