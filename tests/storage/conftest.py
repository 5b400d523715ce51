"""A small run with every kind of signal, and the rows that it records: functions of step and name alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import attrs
import numpy as np
import pytest

from optiscope.records import EpochRecord, RunInfo, RunResult, Signal
from optiscope.storage import RunWriter, schema

INFO = RunInfo(
    run_id="adam-b100-0123",
    optimizer="adam",
    optimizer_options={"lr": 1e-3, "clip": float("inf")},
    model="small-cnn",
    model_options={},
    data="synthetic",
    data_digest="d" * 64,
    batch_size=100,
    lr=1e-3,
    seed=3,
    reduction="mean",
    steps=95,
    steps_per_epoch=20,
    epochs=5,
    train_samples=2000,
    test_samples=500,
    probe_size=256,
    parameters=(("conv1.weight", (9, 4)), ("conv1.bias", (4,)), ("out.weight", (4, 10))),
    output="logits",
    outputs=10,
    class_names=tuple("abcdefghij"),
    config={"steps": 95, "options": {"adam": {"beta1": 0.9}}},
    versions={"numpy": "2.4"},
)

PLUGIN = (
    Signal("spread", (3,), "f8", "1", 1, dims=("layer",), long_name="a vector"),
    Signal("flags", (), "i1", every=7),
    Signal("table", (2, 3, 4), "u2", every=7),
    Signal("norms", (3,), "f4", every="epoch", dims=("param",)),
)


def core(info: RunInfo) -> dict[str, tuple[Signal, ...]]:
    return {name: declare(info) for name, declare in schema.CORE.items()}


def value(signal: Signal, index: int) -> np.ndarray:
    """The value that the test runs record at step (or epoch) `index`, different for each signal and step."""
    seed = [index, *signal.name.encode()]
    return (np.random.default_rng(seed).random(signal.shape) * 100).astype(signal.dtype)


def facts(step: int) -> dict[str, float]:
    return {"loss": 2.3 / step, "accuracy": 1 - 1 / step, "lr": 1e-3 * step, "wall_time": 0.01 * step}


def epoch_record(epoch: int, step: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        step=step,
        train_loss=1 / epoch,
        train_accuracy=0.1 * epoch,
        val_loss=1.5 / epoch,
        val_accuracy=0.09 * epoch,
        digest=f"{epoch:064x}",
    )


def drive(writer: RunWriter, info: RunInfo, signals: dict[str, tuple[Signal, ...]], steps: range) -> Iterator[int]:
    """Write `steps` and the ends of their epochs; yields each step once it is written."""
    for step in steps:
        due = {name: {s.name: value(s, step) for s in some if s.due(step)} for name, some in signals.items()}
        writer.write_step(step, facts(step), due)
        if step % info.steps_per_epoch == 0 or step == info.steps:
            epoch = -(-step // info.steps_per_epoch)
            due = {n: {s.name: value(s, epoch) for s in some if s.every == "epoch"} for n, some in signals.items()}
            writer.write_epoch(epoch_record(epoch, step), due)
        yield step


def result(info: RunInfo, steps: int, status: str = "completed", **more: object) -> RunResult:
    return RunResult(run_id=info.run_id, status=status, steps=steps, digest="ab" * 32, wall_time=1.25, **more)


@pytest.fixture
def info() -> RunInfo:
    return INFO


@pytest.fixture
def signals(info: RunInfo) -> dict[str, tuple[Signal, ...]]:
    return core(info) | {"third-party": PLUGIN}


@pytest.fixture
def make(tmp_path: Path, info: RunInfo, signals: dict[str, tuple[Signal, ...]]) -> Callable[..., SimpleNamespace]:
    """Return a function that starts a run of the given kind and drives it for some steps; `.writer` is still open."""

    def start(steps: int, name: str = "run.h5", **changes: object) -> SimpleNamespace:
        changed = attrs.evolve(info, **changes)
        writer = RunWriter.create(tmp_path / name, changed, signals)
        for _ in drive(writer, changed, signals, range(1, steps + 1)):
            pass
        return SimpleNamespace(writer=writer, info=changed, signals=signals, path=tmp_path / name)

    return start
