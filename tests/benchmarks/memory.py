"""The peak memory of a worker of `characterize`, data included, in MB (10^6 bytes).

    python memory.py '{"kernels": "im2col", "model": "paper-cnn", "batch": 200, "data": "synthetic"}'

The worker is one of the executor "processes" and trains a short run to its file; the last step ends an epoch, so the
evaluation is in the peak. Data "cifar10-sized" are random images in CIFAR-10's layout and sizes, read from a folder.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from contestants import third_party

from optiscope.builtin.executors import Processes
from optiscope.config import RunConfig
from optiscope.data.cifar10 import OFFICIAL_RECORDS, TEST_FILE, TRAIN_FILES, write_records
from optiscope.sweep.worker import run_to_file

STEPS = 10


def peak_of_run(config: RunConfig, folder: str) -> float:
    """Train `config` in this process; return the most memory that was resident."""
    result = run_to_file(config, folder)
    if result.status != "completed":
        raise RuntimeError(f"the run ended as {result.status}: {result.why}")
    return peak()


def peak() -> float:
    """Return the most memory that this process has had; Linux's getrusage may tell that of its parent instead."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def write_cifar10_sized(folder: Path) -> None:
    """Write random images in the files, and as many, as CIFAR-10 has."""
    rng = np.random.default_rng(0)
    for name in (*TRAIN_FILES, TEST_FILE):
        images = rng.integers(0, 256, (OFFICIAL_RECORDS, 32, 32, 3), np.uint8)
        write_records(folder / name, images, rng.integers(0, 10, OFFICIAL_RECORDS, np.uint8))


def measure(kernels: str, model: str, batch: int, data: str) -> float:
    """Return the peak of a worker that trains on `data`."""
    with tempfile.TemporaryDirectory() as folder, Processes(jobs=1) as workers:
        if data == "cifar10-sized":
            write_cifar10_sized(Path(folder))
            data = folder
        config = RunConfig(
            model=model, data=data, optimizer="adam", batch_size=batch, steps=STEPS, kernels=kernels,
            block=third_party(),
        )  # fmt: skip
        return workers.submit(peak_of_run, config, folder).result()


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
