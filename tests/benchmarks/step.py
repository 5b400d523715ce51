"""Print the median time of forward and backward pass in ms: `python tests/benchmarks/step.py [steps] [kernels]`.

One BLAS thread, random float32 images of 32 x 32 x 3. The first two steps, which make the buffers, are not counted.
"""

import statistics
import sys
import time

import numpy as np
from threadpoolctl import threadpool_limits

from optiscope.autograd import Tape
from optiscope.autograd.kernels import AUTO, resolve
from optiscope.nn import Model, PaperCNN, SmallCNN, on_tape


def step_times(model: Model, batch: int, steps: int, kernels: str) -> list[float]:
    rng = np.random.default_rng(0)
    params = model.init(rng, (32, 32, 3), 10)
    grads = params.zeros()
    images = rng.random((batch, 32, 32, 3), dtype=np.float32)
    labels = rng.integers(0, 10, batch)
    tape = Tape(kernels)
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        tape.reset()
        out = model.forward(on_tape(tape, params, grads), tape.constant(images), rng)
        tape.backward(model.loss(out.output, labels, "mean"))
        times.append((time.perf_counter() - start) * 1e3)
    return times[2:]


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    kernels = resolve(sys.argv[2] if len(sys.argv) > 2 else AUTO)
    print(f"kernels {kernels}")
    with threadpool_limits(1, "blas"):
        for model in (PaperCNN(), SmallCNN()):
            for batch in (50, 100, 200):
                times = step_times(model, batch, steps, kernels)
                print(
                    f"{model.name:10} batch {batch:4}  median {statistics.median(times):7.1f} ms  min {min(times):7.1f}"
                )


if __name__ == "__main__":
    main()
