"""From a `RunConfig` to a `RunResult`."""

from __future__ import annotations

from optiscope.config import RunConfig
from optiscope.engine import blas
from optiscope.engine.loop import OpenSink
from optiscope.engine.loop import train as train_prepared
from optiscope.engine.prepare import prepare
from optiscope.hooks import PluginHost
from optiscope.records import RunResult


def train(config: RunConfig, host: PluginHost | None = None, open_sink: OpenSink | None = None) -> RunResult:
    """Train one run, on as many threads as it asks for and one of the BLAS.

    `host` brings the plugins (made from the configuration, if it is not given); `open_sink(info, signals)` makes the
    sink that takes what is recorded. Divergence is a result; UsageError says what is wrong with the configuration.
    """
    with blas.one_thread():
        return train_prepared(prepare(config, host), open_sink)
