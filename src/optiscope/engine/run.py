"""From a `RunConfig` to a `RunResult`."""

from __future__ import annotations

import attrs

from optiscope.config import RunConfig
from optiscope.engine import blas
from optiscope.engine.budget import measure, schedules
from optiscope.engine.loop import OpenSink
from optiscope.engine.loop import train as train_prepared
from optiscope.engine.prepare import host_for, prepare
from optiscope.hooks import PluginHost
from optiscope.records import RunResult


def train(config: RunConfig, host: PluginHost | None = None, open_sink: OpenSink | None = None) -> RunResult:
    """Train one run, on as many threads as it asks for and one of the BLAS.

    `host` brings the plugins (made from the configuration, if it is not given); `open_sink(info, signals)` makes the
    sink that takes what is recorded. A budget whose schedules are not in the configuration yet is measured first.
    Divergence is a result; UsageError says what is wrong with the configuration.
    """
    host = host or host_for(config)
    with blas.one_thread():
        prepared = prepare(config, host)
        if config.unmeasured and open_sink is not None:
            config = attrs.evolve(config, thin=schedules(measure(prepared)))
            prepared = prepare(config, host, prepared.images)
        return train_prepared(prepared, open_sink)
