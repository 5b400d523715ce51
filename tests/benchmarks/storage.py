"""What storing and reading runs costs, on this machine and this disk:

    python tests/benchmarks/storage.py

    write      microseconds a step that the writer takes in a run of paper-cnn with all default signals, fsyncs and
               checkpoints included; the images are noise, as many as CIFAR-10 has, so an epoch is 500 steps
    read       milliseconds from `open_run` to one scalar signal of 20,000 steps, of a finished file
    grid       seconds that `open_grid(folder).runs` takes for 1,000 finished runs, with an index and without
    size       megabytes of a finished run of paper-cnn, 500 steps, all default signals

The rows that are written are made beforehand, with the shapes and schedules of the run: what it takes to train and to
compute them is not in here (see race.py). Medians of seven rounds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from optiscope.config import RunConfig
from optiscope.engine import host_for, prepare
from optiscope.records import Checkpoint, EpochRecord, RunResult
from optiscope.storage import RunWriter, open_grid, open_run, write_index

ROUNDS = 7
THIRD_PARTY = ["gradient-angle", "spike-score"]


def prepared(steps: int, model: str = "paper-cnn", train: int = 50_000) -> Any:
    """Return a run of so many steps with the default signals."""
    from optiscope.data import Images

    def images(count: int) -> np.ndarray:
        return np.zeros((count, 32, 32, 3), np.uint8)

    config = RunConfig(model=model, optimizer="adam", batch_size=100, steps=steps, block=THIRD_PARTY)
    made = Images(
        class_names=[str(i) for i in range(10)],
        train_images=images(train), train_labels=np.zeros(train, np.uint8),
        test_images=images(10_000), test_labels=np.zeros(10_000, np.uint8),
    )  # fmt: skip
    return prepare(config, host_for(config), made)


def rows(run: Any, random: np.random.Generator) -> Callable[[int, bool], Any]:
    """Return a function that gives, for a step, what the recorders would: noise, as it compresses worst."""

    def value(signal: Any) -> Any:
        return (random.standard_normal(signal.shape) * 100).astype(signal.dtype)

    pool = [
        {name: {s.name: value(s) for s in declared} for name, declared in run.signals.items()} for _ in range(50)
    ]  # fmt: skip

    def due(step: int, ends_epoch: bool) -> Any:
        made = pool[step % len(pool)]
        found = {
            name: {s.name: made[name][s.name] for s in declared if (ends_epoch if s.every == "epoch" else s.due(step))}
            for name, declared in run.signals.items()
        }
        return {name: said for name, said in found.items() if said}

    return due


def write(path: Path, run: Any) -> float:
    """Write a whole run; return the seconds that the writer took, without the finish."""
    due, info, spent = rows(run, np.random.default_rng(0)), run.info, 0.0
    size = sum(int(np.prod(shape)) for _, shape in info.parameters)
    arrays = {"m": np.zeros(size, "f4"), "v": np.zeros(size, "f4")}
    epochs: list[EpochRecord] = []
    writer = RunWriter.create(path, info, run.signals, overwrite=True)
    for step in range(1, info.steps + 1):
        facts = {"loss": 2.3 / step, "accuracy": 0.5, "lr": 1e-3, "wall_time": 0.1 * step}
        recorded = due(step, False)
        began = time.perf_counter()
        writer.write_step(step, facts, recorded)
        spent += time.perf_counter() - began
        if step % info.steps_per_epoch == 0 or step == info.steps:
            epochs.append(EpochRecord(epoch=len(epochs) + 1, step=step, train_loss=1.0, train_accuracy=0.5,
                                      val_loss=1.0, val_accuracy=0.5, digest="00" * 32))  # fmt: skip
            recorded = {name: said for name, said in due(step, True).items() if name == "epoch"}
            kept = Checkpoint(run_id=info.run_id, step=step, epochs=tuple(epochs), params=np.zeros(size, "f4"),
                              state=arrays)  # fmt: skip
            began = time.perf_counter()
            writer.write_epoch(epochs[-1], recorded)
            if step < info.steps:
                writer.keep(kept)
            spent += time.perf_counter() - began
    writer.finish(RunResult(run_id=info.run_id, status="completed", steps=info.steps, digest="00" * 32))
    return spent


def timed(function: Callable[[], Any]) -> float:
    """Return the median of the seconds that a call takes, after one that does not count."""
    function()
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        function()
        took.append(time.perf_counter() - began)
    return median(took)


def read_loss(path: Path) -> None:
    with open_run(path) as run:
        assert len(run.steps["loss"]) == run.n_steps


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure what storing and reading runs costs.")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure (the system's temporary one)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        short, long = prepared(500), prepared(1000)
        took = [write(folder / "run.h5", long) for _ in range(ROUNDS)]
        figures["write, us a step"] = median(took) / 1000 * 1e6
        write(folder / "run.h5", short)
        figures["size, MB"] = (folder / "run.h5").stat().st_size / 1e6
        write(folder / "long.h5", prepared(20_000, "small-cnn"))
        figures["read, ms"] = timed(lambda: read_loss(folder / "long.h5")) * 1e3
        (folder / "grid" / "runs").mkdir(parents=True)
        for number in range(1000):
            shutil.copy(folder / "run.h5", folder / "grid" / "runs" / f"{number}.h5")
        figures["grid without an index, s"] = timed(lambda: open_grid(folder / "grid"))
        write_index(folder / "grid")
        figures["grid, s"] = timed(lambda: open_grid(folder / "grid"))
        assert len(open_grid(folder / "grid").runs) == 1000
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value:.3g}")


if __name__ == "__main__":
    main()
