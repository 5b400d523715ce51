"""One run, from its configuration to its file: what a worker process executes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import attrs

from optiscope.config import RunConfig
from optiscope.engine import train
from optiscope.records import RunInfo, RunResult, Signal, Sink
from optiscope.storage import RunWriter


def run_to_file(config: RunConfig, runs: str) -> RunResult:
    """Train `config` and record it as `<runs>/<run_id>.h5`; go on with what an earlier process left of the same run."""
    began, repeats, spent_before = time.perf_counter(), 0, 0.0

    def open_sink(info: RunInfo, signals: Mapping[str, tuple[Signal, ...]]) -> Sink:
        nonlocal repeats, spent_before
        writer = RunWriter.take_up(Path(runs) / f"{info.run_id}.h5", info, signals)
        repeats = writer.repeats
        spent_before = writer.kept.wall_time if writer.kept is not None else 0.0
        return writer

    result = train(config, open_sink=open_sink)
    overhead = time.perf_counter() - began - (result.wall_time - spent_before)
    return attrs.evolve(result, repeated=repeats, overhead=overhead)
