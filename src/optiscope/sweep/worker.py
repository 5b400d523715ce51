"""One run, from its configuration to its file: what a worker process executes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from optiscope.config import RunConfig
from optiscope.engine import train
from optiscope.records import RunInfo, RunResult, Signal, Sink
from optiscope.storage import RunWriter


def run_to_file(config: RunConfig, runs: str) -> RunResult:
    """Train `config` and record it as `<runs>/<run_id>.h5`, in place of an unfinished file of the same run."""

    def open_sink(info: RunInfo, signals: Mapping[str, tuple[Signal, ...]]) -> Sink:
        return RunWriter.create(Path(runs) / f"{info.run_id}.h5", info, signals, overwrite=True)

    return train(config, open_sink=open_sink)
