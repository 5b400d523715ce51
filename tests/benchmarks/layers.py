"""What each layer costs, and the least that it could: its FLOPs over what one thread's sgemm reaches here.

    python layers.py '{"kernels": "im2col", "model": "paper-cnn", "batch": 100, "rounds": 7}'

A tape whose operations carry a stopwatch gives the times. A layer is what has parameters, and whatever follows it up to
the next: conv2 holds its pool and its ReLU. FLOPs are those of the direct product, two a multiplication, which is
2 B H W kh kw Cin Cout for the convolutions of our models; backward has one such product for the weights, and one for
the input where somebody wants its gradient. An algorithm that multiplies less (Winograd) may go below this floor.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from optiscope.autograd import Tape, Tensor
from optiscope.autograd.vjp import Operation
from optiscope.hooks import create_manager
from optiscope.nn import on_tape

SIZES = (768, 1024, 1536)
"""Of square matrices: large enough that a thread is as fast as it gets."""

SECONDS = 1.0
"""Of steps in a round, at least."""

Part = tuple[str, str]
"""A layer, and "forward" or "backward"."""


class TimedTape(Tape):
    """A tape that adds up, for the present step, the `seconds` and the `flops` of each part."""

    def reset(self) -> None:
        super().reset()
        self.layer = ""
        self.names: dict[int, str] = {}
        self.seconds: dict[Part, float] = defaultdict(float)
        self.flops: dict[Part, float] = defaultdict(float)

    def name(self, leaves: dict[str, Tensor]) -> None:
        """Take the names of the parameters, so that operations know their layer."""
        self.names = {id(tensor): name for name, tensor in leaves.items()}

    def apply(self, op: Any, *inputs: Tensor, **options: Any) -> Tensor:
        for tensor in inputs:
            layer, _, kind = self.names.get(id(tensor), "").rpartition(".")
            if layer:
                self.layer = layer
            if kind == "weight":
                self._add_flops(inputs[0], tensor)
        forward = self._timed(op.forward, (self.layer, "forward"))
        rule = self._timed(op.rule, (self.layer, "backward"))
        return super().apply(Operation(op.name, forward, rule), *inputs, **options)

    def _timed(self, call: Callable[..., Any], part: Part) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = call(*arguments, **options)
            self.seconds[part] += time.perf_counter() - start
            return result

        return timed

    def _add_flops(self, x: Tensor, weight: Tensor) -> None:
        """Add the products of a layer that keeps the size of its images: each pixel meets every weight once."""
        product = 2 * (x.array.size // x.shape[-1]) * weight.array.size
        self.flops[self.layer, "forward"] += product
        self.flops[self.layer, "backward"] += product * (2 if x.needs_grad else 1)


def measure(kernels: str, model: str, batch: int, rounds: int) -> list[dict[str, Any]]:
    """Return rows: the peak in GFLOP/s of each round, and of each part its median ms and its GFLOP."""
    rng = np.random.default_rng(0)
    network = create_manager().build("models", model, {})
    params = network.init(rng, (32, 32, 3), 10)
    grads = params.zeros()
    images = rng.random((batch, 32, 32, 3), dtype=np.float32)
    labels = rng.integers(0, 10, batch)
    tape = TimedTape(kernels)
    times: dict[Part, list[float]] = defaultdict(list)

    def step() -> dict[Part, float]:
        tape.reset()
        leaves = on_tape(tape, params, grads)
        tape.name(leaves)
        out = network.forward(leaves, tape.constant(images), rng)
        tape.layer = "loss"
        tape.backward(network.loss(out.output, labels, "mean"))
        return tape.seconds

    rows: list[dict[str, Any]] = []
    with threadpool_limits(1, "blas"):
        step()
        step()
        for number in range(1, rounds + 1):
            rows.append({"item": "peak", "round": number, "value": sgemm_peak()})
            end = time.perf_counter() + SECONDS
            while time.perf_counter() < end or not times:
                for part, seconds in step().items():
                    times[part].append(seconds * 1e3)
    for part in sorted(times):
        rows.append({"item": f"{' '.join(part)} ms", "round": 1, "value": median(times[part])})
        rows.append({"item": f"{' '.join(part)} GFLOP", "round": 1, "value": tape.flops[part] / 1e9})
    return rows


def sgemm_peak() -> float:
    """Return the most GFLOP/s that a product of two square float32 matrices reaches."""
    best = 0.0
    for size in SIZES:
        a, b, out = (np.ones((size, size), np.float32) for _ in range(3))
        for _ in range(3):
            start = time.perf_counter()
            np.matmul(a, b, out=out)
            best = max(best, 2e-9 * size**3 / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
