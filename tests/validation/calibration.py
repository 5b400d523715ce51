"""How often the rules are wrong where the answer is known: false alarms, power, and problems with a known limit.

    uv run --group oracle python tests/validation/calibration.py [--trials N] [--seed N] [--only PART]

Prints the tables of docs/labels.md as Markdown. With the default of 200 trials a cell it takes some fifteen minutes on
one core. Every table says how many trials it rests on.

    signals         series of noise on a log drift, healthy or with one fault: signals.py
    dynamics        runs of problems through the engine, on either side of their largest stable learning rate
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import attrs
import numpy as np
import signals
from series import STEPS

from optiscope.analysis import jeffreys
from optiscope.builtin.analyzers import ANALYZERS
from optiscope.config import RunConfig
from optiscope.engine.loop import train
from optiscope.engine.prepare import prepare
from optiscope.labels import RunVerdict, label_run, make_record
from optiscope.optim import Optimizer
from optiscope.params import Parameters


@attrs.define(kw_only=True)
class HeavyBall(Optimizer):
    """v = beta v + g; w -= lr v."""

    name: ClassVar[str] = "heavy-ball"

    beta: float = 0.9

    def init(self, params: Parameters) -> dict[str, Any]:
        return {"v": np.zeros_like(params.flat)}

    def update(self, params: Parameters, grads: Parameters, state: Any, step: int) -> None:
        state["v"] *= self.beta
        state["v"] += grads.flat
        params.flat[...] -= self.lr * state["v"]


class Memory:
    """A sink that keeps what the rules look at."""

    path, kept = None, None

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {"loss": [], "grad_norm": [], "update_norm": []}

    def write_step(self, step: int, facts: Any, recorded: Any) -> None:
        values = recorded.get("step", {})
        self.rows["loss"].append(facts["loss"])
        for name in ("grad_norm", "update_norm"):
            self.rows[name].append(values.get(name, [np.nan]))

    def write_epoch(self, record: Any, recorded: Any) -> None: ...

    def keep(self, checkpoint: Any) -> None: ...

    def finish(self, result: Any) -> None: ...

    def close(self) -> None: ...


def judged(config: RunConfig, optimizer: Optimizer | None = None) -> RunVerdict:
    """Train, and return what the rules say of it."""
    prepared, memory = prepare(config), Memory()
    if optimizer is not None:
        prepared = attrs.evolve(prepared, optimizer=optimizer, info=attrs.evolve(prepared.info, lr=optimizer.lr))
    result = train(prepared, lambda info, signals: memory)
    info, steps = prepared.info, {name: np.asarray(rows, float) for name, rows in memory.rows.items()}
    facts = {
        name: getattr(info, name) for name in ("steps_per_epoch", "batch_size", "minimum", "gradient_noise", "output")
    }
    if (
        len(steps["loss"]) < 50
    ):  # a run that left the range of numbers at once: the file rules judge it, `make_record` would not
        steps = {name: np.concatenate([rows, np.repeat(rows[-1:], 50, axis=0)]) for name, rows in steps.items()}
    record = attrs.evolve(make_record(steps, info.run_id, config=facts), status=result.status, why=result.why)
    return label_run(
        record, [analyzer() for analyzer in ANALYZERS if analyzer.name in ("finite", "outcome", "dynamics")]
    )


def factors(low: float, high: float, rng: np.random.Generator) -> float:
    """Return a learning rate over its limit, uniform in its logarithm."""
    return float(10 ** rng.uniform(np.log10(low), np.log10(high)))


def deterministic(rng: np.random.Generator, below: bool, gap: float = 0.05) -> RunVerdict:
    """Return the verdict on a quadratic of random spectrum, at least `gap` off the limit of SGD or heavy ball."""
    largest = 10 ** rng.uniform(-2, 2)
    spectrum = [largest, *(largest * 10 ** -rng.uniform(0, 2, rng.integers(0, 3)))]
    beta = float(rng.choice([0.0, 0.5, 0.9, 0.99]))
    lr = 2 * (1 + beta) / largest * (factors(0.01, 1 - gap, rng) if below else factors(1 + gap, 3, rng))
    curvature = tuple(map(float, spectrum)) if len(spectrum) > 1 else float(largest)
    config = RunConfig(
        model="quadratic", batch_size=1, lr=lr, steps=STEPS, options={"quadratic": {"curvature": curvature}}
    )
    return judged(config, HeavyBall(lr=lr, beta=beta) if beta else None)


def regression(rng: np.random.Generator, below: bool, gap: float = 0.15) -> RunVerdict:
    """Return the verdict on SGD on Gaussian regression, at least `gap` off its limit in mean square."""
    dimension, batch = int(rng.choice([2, 5, 10, 20])), int(rng.choice([1, 4, 16, 64]))
    lr = 2 * batch / (batch + dimension + 1) * (factors(0.1, 1 - gap, rng) if below else factors(1 + gap, 3, rng))
    options = {"noisy-quadratic": {"dimension": dimension, "noise": float(rng.choice([0.0, 0.1]))}}
    seed = int(rng.integers(2**31))
    return judged(RunConfig(model="noisy-quadratic", batch_size=batch, lr=lr, steps=STEPS, seed=seed, options=options))


def additive(rng: np.random.Generator, below: bool, gap: float = 0.15) -> RunVerdict:
    """Return the verdict on a quadratic whose gradients have noise, at least `gap` off the limit of SGD."""
    curvature = float(10 ** rng.uniform(-2, 2))
    lr = 2 / curvature * (factors(0.1, 1 - gap, rng) if below else factors(1 + gap, 3, rng))
    options = {"quadratic": {"curvature": curvature, "noise": float(curvature * 10 ** rng.uniform(-9, 0))}}
    seed = int(rng.integers(2**31))
    return judged(RunConfig(model="quadratic", batch_size=4, lr=lr, steps=STEPS, seed=seed, options=options))


PROBLEMS: dict[str, Callable[[np.random.Generator, bool], RunVerdict]] = {
    "quadratic, off by 5 % and more": deterministic,
    "quadratic with gradient noise, off by 15 % and more": additive,
    "regression, off by 15 % and more": regression,
}


def dynamics(trials: int, seed: int, problem: str) -> dict[str, Counter[str]]:
    """Return how many runs of a problem have which verdict, below and above its limit."""
    rng = np.random.default_rng((seed, 3, list(PROBLEMS).index(problem)))
    sides = {"below": True, "above": False}
    return {
        side: Counter(PROBLEMS[problem](rng, below).verdict for _ in range(trials)) for side, below in sides.items()
    }


def tables(trials: int, seed: int) -> Iterator[str]:
    """Yield the lines of the table of known limits, as they come."""

    def share(count: int, of: int = trials) -> str:
        low, high = jeffreys(count, of)
        return f"{count / of:.3f} ({low:.3f} to {high:.3f})"

    yield f"Verdicts on {trials} runs on each side of a known limit:\n"
    yield "| problem | side | right | undecided | wrong |\n| --- | --- | --- | --- | --- |"
    for problem in PROBLEMS:
        for side, counts in dynamics(trials, seed, problem).items():
            right, wrong = ("stable", "unstable") if side == "below" else ("unstable", "stable")
            yield f"| {problem} | {side} | {share(counts[right])} | {counts['undecided']} | {counts[wrong]} |"


PARTS = {"signals": signals.tables, "dynamics": tables}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="measure how often the rules are wrong")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--only", choices=PARTS, help="print the tables of one part")
    options = parser.parse_args()
    for name, part in PARTS.items():
        if options.only in (None, name):
            for line in part(options.trials, options.seed):
                print(line, flush=True)
            print(flush=True)


if __name__ == "__main__":
    main()
