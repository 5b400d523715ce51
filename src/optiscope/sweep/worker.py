"""One run, from its configuration to its file: what a worker process executes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from optiscope.config import RunConfig
from optiscope.engine import train
from optiscope.records import RunInfo, RunResult, Signal, Sink
from optiscope.storage import RunWriter


def run_to_file(config: RunConfig, runs: str) -> RunResult:
    """Train `config` and record it as `<runs>/<run_id>.h5`; go on with what an earlier process left of the same run."""
    repeats = 0

    def open_sink(info: RunInfo, signals: Mapping[str, tuple[Signal, ...]]) -> Sink:
        nonlocal repeats
        writer = RunWriter.take_up(Path(runs) / f"{info.run_id}.h5", info, signals)
        repeats = writer.repeats
        return writer

    result = train(config, open_sink=open_sink)
    return attrs.evolve(result, repeated=repeats)
