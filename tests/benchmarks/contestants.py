"""A contestant of the race: a process of its own, which trains when it is told to and sleeps otherwise.

    python contestants.py '{"who": "im2col", "model": "paper-cnn", "batch": 100, ...}'

    <- ready 43         the first step is done; what it does repeats every 43 steps
    -> 5                take five steps
    <- 0.731            seconds that they took
    -> (closed)         the end

"eager" and "tuned" are PyTorch, any other `who` is a set of our kernels. Ours is `optiscope.engine.train` as a worker
of `characterize` calls it: batches from uint8 images, every default signal, the run file. An observer of its steps
holds it up between two turns; a step is recorded after the observer was told of it, so a turn of k steps holds k
recordings. There are more images than a race uses, so no epoch ends in it. PyTorch is handed batches of float32 that
are ready, and records nothing.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

HERE = Path(__file__).parent
IMAGE, CLASSES = (32, 32, 3), 10
TORCH = ("eager", "tuned")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""


class AbsentError(Exception):
    """A contestant that does not run here; the text says why."""


# The race's side of the pipe.


class Racer:
    """`processes` contestants that take their turns at the same time."""

    def __init__(self, name: str, processes: int = 1, **spec: Any) -> None:
        self.name = name
        self.period = 1
        command = [sys.executable, str(HERE / "contestants.py"), json.dumps(spec)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._processes = [subprocess.Popen(command, **pipes) for _ in range(processes)]

    def wait(self) -> None:
        """Wait for the first step to be done; AbsentError if a contestant cannot run."""
        for answer in self._answers():
            word, _, rest = answer.partition(" ")
            if word != "ready":
                raise AbsentError(rest.strip())
            self.period = int(rest)

    def turn(self, steps: int) -> float:
        """Return the seconds that `steps` steps took, those of the slowest process if there are several."""
        for process in self._processes:
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
        return max(float(answer) for answer in self._answers())

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.stdin.close()
        for process in self._processes:
            process.wait()
            process.stdout.close()

    def _answers(self) -> list[str]:
        answers = [process.stdout.readline() for process in self._processes]
        if not all(answers):
            raise RuntimeError(f"contestant {self.name} has died: its last words are above")
        return answers


# The contestant's side.


class Turns:
    """Takes the race's orders: `stepped` is called after every step, and returns when the next one may begin."""

    def __init__(self) -> None:
        self.period = 1
        self._left = 0
        self._start: float | None = None
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print is no answer

    def say(self, answer: str) -> None:
        print(answer, file=self._answers, flush=True)

    def stepped(self) -> None:
        self._left -= 1
        if self._left > 0:
            return
        now = time.perf_counter()
        self.say(f"ready {self.period}" if self._start is None else str(now - self._start))
        order = sys.stdin.readline()
        if not order:
            raise KeyboardInterrupt
        self._left, self._start = int(order), time.perf_counter()


def third_party() -> list[str]:
    """Return the names of installed plugins that do not come with optiscope: their signals are no default signals."""
    return sorted({point.name for point in entry_points(group="optiscope")} - {"optiscope-builtin"})


def ours(turns: Turns, who: str, model: str, batch: int, threads: int, recording: bool, steps: int) -> None:
    """Train with our engine until the race is over."""
    import numpy as np

    from optiscope.config import RunConfig
    from optiscope.data import Images
    from optiscope.engine import host_for, train
    from optiscope.errors import UsageError
    from optiscope.hooks import hookimpl
    from optiscope.storage import RunWriter

    class Noise:
        name: ClassVar[str] = "noise"

        def load(self) -> Images:
            rng = np.random.default_rng(0)
            sizes = {"train": batch * (steps + 1), "test": 1000}
            images = {f"{s}_images": rng.integers(0, 256, (n, *IMAGE), np.uint8) for s, n in sizes.items()}
            labels = {f"{s}_labels": rng.integers(0, CLASSES, n, np.uint8) for s, n in sizes.items()}
            return Images(class_names=map(str, range(CLASSES)), **images, **labels)

    class Gate:
        @hookimpl
        def optiscope_datasets(self) -> Sequence[Any]:
            return [Noise]

        @hookimpl
        def on_step(self) -> None:
            turns.stepped()

    config = RunConfig(
        model=model, data="noise", optimizer="adam", batch_size=batch, steps=steps, kernels=who, threads=threads,
        block=third_party(),
    )  # fmt: skip
    host = host_for(config)
    host.register(Gate(), "race")

    def open_sink(info: Any, signals: Any) -> RunWriter:
        schedules = {signal.every for declared in signals.values() for signal in declared} - {"epoch"}
        turns.period = max(schedules)
        return RunWriter.create(Path(folder) / "run.h5", info, signals)

    with tempfile.TemporaryDirectory() as folder:
        try:
            train(config, host=host, open_sink=open_sink if recording else None)
        except (UsageError, ImportError) as error:
            raise AbsentError(str(error)) from error


def theirs(turns: Turns, who: str, model: str, batch: int, threads: int) -> None:
    """Train with PyTorch until the race is over; "tuned" is what its users reach for to make it faster on a CPU."""
    tuned = who == "tuned"
    if tuned and sys.platform == "linux":  # before anything large is allocated
        for threshold in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            if not ctypes.CDLL(None).mallopt(threshold, 1 << 30):
                raise AbsentError("this C library does not let malloc's thresholds be raised to 1 GiB")
    try:
        import torch
    except ImportError as error:
        raise AbsentError("PyTorch is not installed: uv sync --group oracle") from error
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = torch_model(model)
    height, width, channels = IMAGE
    images = torch.rand(8, batch, channels, height, width)
    labels = torch.randint(0, CLASSES, (8, batch))
    batches = list(images)
    if tuned:
        network = network.to(memory_format=torch.channels_last)
        batches = [x.contiguous(memory_format=torch.channels_last) for x in batches]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=tuned or None)
    criterion = torch.nn.CrossEntropyLoss()
    for x, y in itertools.cycle(zip(batches, labels, strict=True)):
        optimizer.zero_grad()
        loss = criterion(network(x), y)
        loss.backward()
        optimizer.step()
        turns.stepped()


def torch_model(name: str) -> Any:
    """Return the model of `optiscope.nn.models` as PyTorch's users write it."""
    from torch import nn

    from optiscope.nn import PaperCNN, SmallCNN

    paper = name == PaperCNN.name
    width, convolutions = (PaperCNN.channels, 2) if paper else (SmallCNN.channels, 1)
    layers: list[Any] = []
    channels = IMAGE[2]
    for _ in range(3):
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    flat = width * (IMAGE[0] // 8) * (IMAGE[1] // 8)
    if paper:
        layers += [nn.Linear(flat, PaperCNN.hidden), nn.ReLU(), nn.Dropout(PaperCNN().dropout)]
        flat = PaperCNN.hidden
    return nn.Sequential(*layers, nn.Linear(flat, CLASSES))


def main(spec: str) -> None:
    turns = Turns()
    options = json.loads(spec)
    contestant: Callable[..., None] = ours
    if options["who"] in TORCH:
        contestant = theirs
        del options["recording"], options["steps"]
    try:
        contestant(turns, **options)
    except KeyboardInterrupt:
        pass
    except AbsentError as error:
        turns.say(f"absent {' '.join(str(error).split())}")


if __name__ == "__main__":
    main(sys.argv[1])
