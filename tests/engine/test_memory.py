"""What a step of a whole run allocates: forward, backward, Adam, every recorder and the writer of the run file."""

import tracemalloc

import pytest

from optiscope.config import RunConfig
from optiscope.engine import train
from optiscope.storage import RunWriter

ACTIVATION = 50 * 32 * 32 * 32 * 4
"""Bytes of the first activation of paper-cnn for a batch of 50."""


class Watched(RunWriter):
    """The writer, which notes how far memory rose above its level since the last step was written."""

    def write_step(self, step, facts, recorded):
        super().write_step(step, facts, recorded)
        level, peak = tracemalloc.get_traced_memory()
        self.rises.append(peak - self.level)
        self.level = level
        tracemalloc.reset_peak()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kernels", ["im2col", "winograd"])
def test_no_large_array_is_allocated_after_the_first_steps(tmp_path, kernels, threads):
    options = {"synthetic": {"train": 400, "test": 20}}
    config = RunConfig(
        model="paper-cnn", batch_size=50, steps=6, optimizer="adam", kernels=kernels, threads=threads, options=options
    )
    rises = []

    def open_sink(info, signals):
        sink = Watched.create(tmp_path / "run.h5", info, signals)
        sink.rises, sink.level = rises, tracemalloc.get_traced_memory()[0]
        return sink

    tracemalloc.start()
    try:
        train(config, open_sink=open_sink)
    finally:
        tracemalloc.stop()
    assert len(rises) == 6
    assert rises[0] > ACTIVATION
    assert max(rises[2:]) < ACTIVATION / 6, [round(rise / ACTIVATION, 3) for rise in rises]
