"""From a `GridConfig` to its runs."""

from __future__ import annotations

import itertools
from typing import Any

import attrs

from optiscope.analysis import fewest_deciding
from optiscope.config import Common, GridConfig, RunConfig, parse_spelling
from optiscope.data import Images
from optiscope.engine import Prepared, host_for, prepare
from optiscope.engine.prepare import check_options
from optiscope.errors import UsageError
from optiscope.hooks import KINDS, PluginHost
from optiscope.labels.cells import IDENTITY, cell_key
from optiscope.records import RunInfo
from optiscope.storage.schema import layout

MOST = 1_000_000
"""Runs of a grid: each is planned before any is made, which takes a millisecond or two, and has a file."""


def first_seeds(grid: GridConfig) -> int:
    """Return with how many seeds each cell begins; UsageError where it may not have as many as can decide it."""
    if isinstance(grid.seeds, int):
        return grid.seeds
    fewest = fewest_deciding(grid.confidence)
    if grid.max_seeds < fewest:
        raise UsageError(
            f"--max-seeds {grid.max_seeds} is too few to decide anything: at --confidence {grid.confidence:g} it takes "
            f"{fewest} seeds that agree"
        )
    return fewest


def most_runs(grid: GridConfig, planned: int) -> int:
    """Return how many runs a grid with `planned` ones may come to; more only with "auto" seeds."""
    return planned if isinstance(grid.seeds, int) else planned // first_seeds(grid) * grid.max_seeds


def expand(grid: GridConfig) -> tuple[RunConfig, ...]:
    """Return every run of `grid`: optimizers x models x reductions x batch sizes x lrs x seeds, in this order.

    Of "auto" seeds only those with which a cell begins. UsageError where they are more than `MOST`.
    """
    own_lr = ["lr" in parse_spelling(spelled)[1] for spelled in grid.optimizers]
    lrs_in_all = sum(1 if own else max(1, len(grid.lrs)) for own in own_lr)
    count = lrs_in_all * len(grid.model) * len(grid.reduction) * len(grid.batch_sizes) * first_seeds(grid)
    if count > MOST:
        raise UsageError(f"a grid may have {MOST:,} runs, and this one has {count:,}: give fewer values of its axes")
    common = {field.name: getattr(grid, field.name) for field in attrs.fields(Common)}
    runs = []
    for spelled, model, reduction, size in itertools.product(
        grid.optimizers, grid.model, grid.reduction, grid.batch_sizes
    ):
        name, own = parse_spelling(spelled)
        lrs: tuple[Any, ...] = (own.pop("lr"),) if "lr" in own else grid.lrs or (None,)
        common["options"] = {**grid.options, name: {**grid.options.get(name, {}), **own}} if own else grid.options
        runs += [
            RunConfig(optimizer=name, model=model, reduction=reduction, batch_size=size, lr=lr, seed=seed, **common)
            for lr in lrs
            for seed in range(first_seeds(grid))
        ]
    return tuple(runs)


def cell_of(run: RunInfo) -> str:
    """Return what tells the cell of a run from all others."""
    return cell_key({name: getattr(run, name) for name in IDENTITY})


def plan(grid: GridConfig, host: PluginHost | None = None, images: Images | None = None) -> tuple[Prepared, ...]:
    """Return every run of `grid`, prepared, before anything runs or is written; `images` saves loading them again.

    What executes a grid is no part of its runs: they do not have the options of executors. UsageError or DataError says
    what cannot be had, PluginError which recorder declares what no run file can hold.
    """
    host = host or host_for(grid)
    check_options(grid, host)
    grid = without_executors(grid, host)
    runs: list[Prepared] = []
    seen: set[str] = set()
    for config in expand(grid):
        run = prepare(config, host, images)
        images = run.images if images is None else images
        if run.info.run_id in seen:
            raise UsageError(f"the grid holds run {run.info.run_id} twice: give each value of an axis once")
        layout(run.info, run.signals)
        seen.add(run.info.run_id)
        runs.append(run)
    return tuple(runs)


def without_executors(grid: GridConfig, host: PluginHost) -> GridConfig:
    """Return `grid` without the options of executors, such as a cluster's address: a run is the same with others."""
    kinds = {name: [kind for kind in KINDS if host.find(kind, name)] for name in grid.options}
    options = {name: values for name, values in grid.options.items() if kinds[name] != ["executors"]}
    return attrs.evolve(grid, options=options)
