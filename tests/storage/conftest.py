"""A small run with every kind of signal, and the rows that it records: functions of step and name alone."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import attrs
import numpy as np
import pytest

from optiscope.records import EpochRecord, RunInfo, RunResult, Signal
from optiscope.storage import RunWriter, schema

INFO = RunInfo(
    run_id="adam-b150-0123",
    optimizer="adam",
    optimizer_options={"lr": 1e-3, "clip": float("inf")},
    model="small-cnn",
    model_options={},
    data="synthetic",
    data_digest="d" * 64,
    batch_size=150,
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


@functools.cache
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


def expected(
    info: RunInfo, signals: dict[str, tuple[Signal, ...]], n_steps: int, n_epochs: int
) -> dict[str, np.ndarray]:
    """Return path -> all rows that a file with these committed counts must show, apart from the scales."""
    steps, epochs = range(1, n_steps + 1), range(1, n_epochs + 1)
    found = {f"step/{name}": np.array([facts(i)[name] for i in steps]) for name in facts(1)}
    found["step/accuracy"] = found["step/accuracy"].astype("f4")
    for recorder, declared in signals.items():
        for signal in declared:
            group = recorder if recorder in schema.CORE else f"plugins/{recorder}"
            due = epochs if signal.every == "epoch" else [i for i in steps if signal.due(i)]
            rows = [value(signal, i) for i in due]
            found[f"{group}/{signal.name}"] = np.array(rows, signal.dtype).reshape(-1, *signal.shape)
    return found


def result(info: RunInfo, steps: int, status: str = "completed", **more: object) -> RunResult:
    return RunResult(run_id=info.run_id, status=status, steps=steps, digest="ab" * 32, wall_time=1.25, **more)


def write_and_say(path: str) -> None:
    """Write the small run to `path`, saying on stdout what is committed after each step. For a process of its own."""
    signals = core(INFO) | {"third-party": PLUGIN}
    print("ready", flush=True)
    writer = RunWriter.create(path, INFO, signals)
    for _ in drive(writer, INFO, signals, range(1, INFO.steps + 1)):
        print(*writer.committed, flush=True)
    writer.finish(result(INFO, INFO.steps))


@pytest.fixture
def info() -> RunInfo:
    return INFO


@pytest.fixture
def signals() -> dict[str, tuple[Signal, ...]]:
    return core(INFO) | {"third-party": PLUGIN}


@pytest.fixture
def kit() -> SimpleNamespace:
    """The functions of this file, for tests."""
    return SimpleNamespace(
        folder=Path(__file__).parent,
        core=core,
        value=value,
        facts=facts,
        epoch_record=epoch_record,
        drive=drive,
        result=result,
        expected=expected,
    )


@pytest.fixture
def make(tmp_path: Path, signals: dict[str, tuple[Signal, ...]]) -> Iterator[Callable[..., SimpleNamespace]]:
    """Return a function that starts the small run, with changes, and writes some steps; `.writer` is still open."""
    writers = []

    def start(steps: int, name: str = "run.h5", **changes: object) -> SimpleNamespace:
        info = attrs.evolve(INFO, **changes)
        declared = core(info) | {"third-party": signals["third-party"]}
        writer = RunWriter.create(tmp_path / name, info, declared)
        writers.append(writer)
        for _ in drive(writer, info, declared, range(1, steps + 1)):
            pass
        return SimpleNamespace(writer=writer, info=info, signals=declared, path=tmp_path / name)

    yield start
    for writer in writers:
        writer.close()
