"""One run, from its configuration to its file and its verdict: what a worker process executes.

The verdict is formed from the file that was just written, by the same code as `optiscope label`. It is formed here
because a grid has many runs and its host is one process: a hundred workers judge a hundred runs at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import attrs

from optiscope.config import RunConfig
from optiscope.engine import host_for, train
from optiscope.errors import OptiscopeError
from optiscope.hooks import PluginHost
from optiscope.labels import RunVerdict, build_analyzers, label_run
from optiscope.records import RunInfo, RunResult, Signal, Sink
from optiscope.storage import RunWriter, open_run


@attrs.frozen
class Ended:
    """How a run ended, and the verdict that its file leads to; None where it has none that can be read."""

    result: RunResult
    verdict: RunVerdict | None


def run_to_verdict(config: RunConfig, runs: str) -> Ended:
    """Train `config` into the folder `runs`, as `run_to_file` does, and judge what it left there.

    The analyzers are all that its plugins bring, with the options that `config` has for them.
    """
    host = host_for(config)
    result = run_to_file(config, runs, host)
    began = time.perf_counter()
    verdict = None if result.status == "interrupted" else _judge(config, result.path, host)
    return Ended(attrs.evolve(result, overhead=result.overhead + time.perf_counter() - began), verdict)


def _judge(config: RunConfig, path: str | None, host: PluginHost) -> RunVerdict | None:
    if path is None:
        return None
    try:
        with open_run(path) as run:
            return label_run(run, build_analyzers(host, config.options))
    except (OptiscopeError, OSError):  # whoever asks for its verdict will see the same, and can say so
        return None


def run_to_file(config: RunConfig, runs: str, host: PluginHost | None = None) -> RunResult:
    """Train `config` and record it as `<runs>/<run_id>.h5`; go on with what an earlier process left of the same run.

    `host` brings the plugins; made from the configuration, if it is not given.
    """
    began, repeats, spent_before = time.perf_counter(), 0, 0.0

    def open_sink(info: RunInfo, signals: Mapping[str, tuple[Signal, ...]]) -> Sink:
        nonlocal repeats, spent_before
        writer = RunWriter.take_up(Path(runs) / f"{info.run_id}.h5", info, signals)
        repeats = writer.repeats
        spent_before = writer.kept.wall_time if writer.kept is not None else 0.0
        return writer

    result = train(config, host, open_sink)
    overhead = time.perf_counter() - began - (result.wall_time - spent_before)
    return attrs.evolve(result, repeated=repeats, overhead=overhead)
