"""The figures of the documentation, drawn when it is built, from measurements that stand in docs/measured.

    python docs/figures.py OUT docs/measured/NAME.csv      take a measurement out of a folder

A measurement of learning, of a characterization, is one CSV file: a row for every tenth step of every run (the mean
loss and accuracy of these ten batches, dropout on), and in the rows that end an epoch what was measured after it
(dropout off). That of `optiscope reproduce paper` has every tenth step of the signal, with the verdict of its run.
`sweep.csv` comes from tests/validation/sweep.py, and what is drawn of it from trust.py beside that.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np

EVERY = 10
COLUMNS = ("seed", "step", "loss", "accuracy", "seconds", "epoch", "train_loss", "val_loss", "val_accuracy")
PARTS = ("sgd-sum", "adam-sum", "others-sum")
SIGNAL_COLUMNS = ("optimizer", "lr", "batch_size", "seed", "verdict", "step", "q05")
COLORS = {"stable": ("C0", "-"), "undecided": ("0.45", "--"), "unstable": ("C3", "-")}
HERE = Path(__file__).parent

AUTHOR = {
    "loss": (1.57638, 1.17128, 0.997195),
    "accuracy": (0.4238, 0.58058, 0.646),
    "val_loss": (1.27731, 1.02786, 0.940115),
    "val_accuracy": (0.5342, 0.6342, 0.6643),
}
"""What the paper's own program printed after each of three epochs: CNN_adam/log in RuoAndo/trackable_AI."""


def collect(out: Path) -> list[dict[str, Any]]:
    """Return the rows of a measurement from the run files in `out`."""
    import optiscope

    rows = []
    for found in optiscope.open_grid(out).runs:
        with optiscope.open_run(found["path"]) as run:
            steps, epochs = run.steps, run.epochs
            ends = {int(step): index for index, step in enumerate(epochs["step"])}
            for end in range(EVERY, run.n_steps + 1, EVERY):
                batches = slice(end - EVERY, end)
                row = {"seed": run.config["seed"], "step": end, "seconds": f"{steps['wall_time'][end - 1]:.1f}"}
                row |= {name: f"{steps[name][batches].mean():.4f}" for name in ("loss", "accuracy")}
                if end in ends:
                    row["epoch"] = ends[end] + 1
                    row |= {
                        name: f"{epochs[name][ends[end]]:.4f}" for name in ("train_loss", "val_loss", "val_accuracy")
                    }
                rows.append(row)
    return rows


def collect_signals(out: Path) -> list[dict[str, Any]]:
    """Return the rows of a reproduction's measurement from its parts in `out` that sum gradients."""
    import optiscope
    from optiscope.labels import read_document

    rows = []
    for part in (out / name for name in PARTS):
        for cell in read_document(part)["cells"]:
            for judged in cell["runs"]:
                with optiscope.open_run(part / judged["path"]) as run:
                    signal = run.steps["logits_q05"]
                same = {name: cell[name] for name in ("optimizer", "lr", "batch_size")}
                same |= {"seed": judged["seed"], "verdict": judged["verdict"]}
                rows += [
                    {**same, "step": step, "q05": f"{signal[step - 1]:.4g}"}
                    for step in range(1, len(signal) + 1, EVERY)
                ]
    return rows


def read(path: Path) -> dict[int, dict[str, np.ndarray]]:
    """Return the columns of a measurement for each seed; empty cells are NaN."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    seeds = sorted({int(row["seed"]) for row in rows})
    return {
        seed: {
            name: np.array([float(row[name] or "nan") for row in rows if int(row["seed"]) == seed])
            for name in COLUMNS[1:]
        }
        for seed in seeds
    }


def draw_learning(measured: Path, figure: Path) -> None:
    """Draw loss and accuracy over epochs beside those of the author's program."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(9, 3.4), layout="constrained")
    axes = sheet.subplots(1, 2)
    for seed, columns in read(measured).items():
        ended = np.isfinite(columns["epoch"])
        steps_per_epoch = columns["step"][ended][0]
        epochs = columns["step"] / steps_per_epoch
        shade = ("C0", "C2", "C4")[seed % 3]
        for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
            axis.plot(epochs, columns[name], color=shade, alpha=0.35, linewidth=0.8, label=f"training, seed {seed}")
            axis.plot(epochs[ended], columns[f"val_{name}"][ended], "o-", color=shade, label=f"test, seed {seed}")
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        axis.plot([1, 2, 3], AUTHOR[f"val_{name}"], "s--", color="0.3", label="test, the author's program")
        axis.set(xlabel="epoch", ylabel=name, xlim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.parent.mkdir(exist_ok=True)
    sheet.savefig(figure)


def draw_trust(measured: Path, figure: Path) -> None:
    """Draw, for the runs that nothing was fitted on: ROC curves, calibration, and the risk at each coverage."""
    from matplotlib.figure import Figure

    sys.path.insert(0, str(HERE.parent / "tests" / "validation"))
    import trust

    rows = trust.read(measured)
    weights = trust.fit([row for row in rows if row["part"] == "fit"])
    held = [row for row in trust.scored(rows, weights) if row["part"] != "fit"]
    failed = np.array([row["truth"] == "failed" for row in held])
    p = np.array([row["score"] for row in held])
    sheet = Figure(figsize=(11, 3.8), layout="constrained")
    roc, calibration, risk = sheet.subplots(1, 3)
    for style, (name, score) in zip(("C0-", "C1--", "C2-.", "C4:", "C5--", "0.6"), trust.SCORES.items(), strict=True):
        found = np.array([score(row) for row in held])
        levels = [np.inf, *sorted(set(found), reverse=True)]
        rates = [[np.mean(found[of] >= level) for level in levels] for of in (~failed, failed)]
        roc.plot(*rates, style, label=name.partition(":")[0], linewidth=2.4 if name.startswith("score") else 1.2)
    roc.set(xlabel="false alarms", ylabel="failures found", title="ROC")
    roc.legend(fontsize=7, loc="lower right")
    bins = np.minimum((p * 10).astype(int), 9)
    kept = [number for number in range(10) if np.any(bins == number)]
    sizes = np.array([np.sum(bins == number) for number in kept])
    calibration.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    means = [[values[bins == number].mean() for number in kept] for values in (p, failed)]
    calibration.scatter(*means, s=10 + 4 * sizes, color="C0", alpha=0.7, clip_on=False)
    for x, y, size in zip(*means, sizes, strict=True):
        calibration.annotate(str(size), (x, y), fontsize=7, ha="center", xytext=(0, 9), textcoords="offset points")
    calibration.set(xlabel="score of the signal", ylabel="share that failed", title="calibration (runs in each bin)")
    order = np.argsort(-np.abs(p - 0.5), kind="stable")
    wrong = (p[order] > 0.5) != failed[order]
    coverage = np.arange(1, p.size + 1) / p.size
    risk.plot(coverage, np.cumsum(wrong) / np.arange(1, p.size + 1), color="C0")
    risk.axvline(np.mean([trust.sure(row) for row in held]), color="0.5", linestyle="--", linewidth=1)
    risk.set(xlabel="coverage: runs decided, the surest first", ylabel="share decided wrongly", title="risk")
    for axis in (roc, calibration, risk):
        axis.grid(alpha=0.3)
    figure.parent.mkdir(exist_ok=True)
    sheet.savefig(figure)


def draw_signals(measured: Path, figure: Path) -> None:
    """Draw the paper's Figure 6: for gradients that are summed, a panel a cell, its runs coloured by their verdict."""
    from matplotlib.figure import Figure

    with measured.open(newline="") as file:
        rows = list(csv.DictReader(file))
    settings = list(dict.fromkeys((row["optimizer"], row["lr"]) for row in rows))
    sizes = sorted({int(row["batch_size"]) for row in rows})
    sheet = Figure(figsize=(9, 1.25 * len(settings)), layout="constrained")
    grid = sheet.subplots(len(settings), len(sizes), sharex=True, sharey="row", squeeze=False)
    for axes, (optimizer, lr) in zip(grid, settings, strict=True):
        axes[0].set_ylabel(f"{optimizer}\nlr {lr}", fontsize=8)
        ends = []
        for axis, size in zip(axes, sizes, strict=True):
            axis.grid(alpha=0.3)
            axis.tick_params(labelsize=7)
            cell = [row for row in rows if [row[name] for name in SIGNAL_COLUMNS[:3]] == [optimizer, lr, str(size)]]
            for seed in sorted({row["seed"] for row in cell}):
                run = [row for row in cell if row["seed"] == seed]
                steps, signal = (np.array([float(row[name]) for row in run]) for name in ("step", "q05"))
                color, style = COLORS[run[0]["verdict"]]
                axis.plot(steps, signal, style, color=color, linewidth=1)
                axis.plot(steps[-1:], signal[-1:], "x" if steps[-1] < 380 else "", color=color)
                ends += signal[np.isfinite(signal)].tolist()
        low, high = np.quantile(ends, (0.01, 1.0))
        axes[0].set_ylim(low - 0.3 * (high - low), high + 0.2 * (high - low))
    for axis, size in zip(grid[0], sizes, strict=True):
        axis.set_title(f"batch {size}", fontsize=9)
    for axis in grid[-1]:
        axis.set_xlabel("step", fontsize=8)
    figure.parent.mkdir(exist_ok=True)
    sheet.savefig(figure)


def draw_all() -> None:
    """Draw every figure that a page shows, into docs/_figures."""
    draw_learning(HERE / "measured" / "cifar10-adam-sum.csv", HERE / "_figures" / "cifar10-adam-sum.svg")
    draw_signals(HERE / "measured" / "reproduction.csv", HERE / "_figures" / "reproduction.svg")
    draw_trust(HERE / "measured" / "sweep.csv", HERE / "_figures" / "trust.svg")


def main(out: str, measured: str) -> None:
    """Write the measurement of the characterization, or of the reproduction, in `out`."""
    of_signals = (Path(out) / "reproduction.json").exists()
    with Path(measured).open("w", newline="") as file:
        writer = csv.DictWriter(file, SIGNAL_COLUMNS if of_signals else COLUMNS)
        writer.writeheader()
        writer.writerows((collect_signals if of_signals else collect)(Path(out)))


if __name__ == "__main__":
    main(*sys.argv[1:])
