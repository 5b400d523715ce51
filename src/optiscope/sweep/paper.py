"""The seed paper's experiment: what is run for it, and how large.

Each part is a characterization in a folder of its own, so that it can be labelled, reported and resumed like any other:

    OUT/sgd-sum, OUT/sgd-mean         SGD; its learning rate is not known, so it is scanned
    OUT/adam-sum, OUT/adam-mean       Adam with epsilon outside the root (the author's program) and inside (equation 3)
    OUT/others-sum, OUT/others-mean   NAG, RMSProp and AdaGrad: the paper calls its method independent of the optimizer

Both reductions, because the author's program sums gradients over a batch where most libraries average. The learning
rates of SGD and NAG under "mean" are those under "sum" times 100, the author's batch size. SGD's successive ones differ
by a factor of 2, as do three of the paper's batch sizes: so lines of equal B x lr lead through the scan.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from optiscope.analysis import fewest_deciding
from optiscope.config import GridConfig, parse_spelling
from optiscope.engine import host_for
from optiscope.errors import UsageError
from optiscope.labels.claims import BATCH_SIZES
from optiscope.labels.reproduction import FILE_NAME
from optiscope.sweep.execute import OnProgress, is_finished
from optiscope.sweep.folder import GRID, check_folder, not_ours, read_grid
from optiscope.sweep.grid import expand, plan
from optiscope.sweep.progress import GridProgress
from optiscope.sweep.run import characterize, remembered

Reduction = Literal["sum", "mean"]
REDUCTIONS: tuple[Reduction, ...] = ("sum", "mean")
FAMILIES = ("sgd", "adam", "others")
PARTS = tuple(f"{family}-{reduction}" for reduction in REDUCTIONS for family in FAMILIES)
WHOLE = (FILE_NAME, "report.html", "report.md")
"""What is written beside the parts, about all of them."""
PACKAGE = "optiscope-optimizers"
"""What brings the others."""
AUTHORS_BATCH = 100
OTHERS: Mapping[Reduction, tuple[str, ...]] = {
    "sum": ("nag(lr=0.0001)", "rmsprop", "adagrad"),
    "mean": ("nag", "rmsprop", "adagrad"),
}
"""At learning rates of their own. Of these, NAG alone moves farther where the gradient is longer."""


@attrs.frozen(kw_only=True)
class Scale:
    """How much of the experiment is run. `lrs` are SGD's under "sum"; `shorter` says what the paper has more."""

    length: Mapping[str, int]
    train_samples: int | None
    seeds: int
    lrs: tuple[float, ...]
    reductions_of_others: tuple[Reduction, ...]
    seeds_of_others: int
    shorter: tuple[str, ...]

    @property
    def extent(self) -> dict[str, int | None]:
        """The fields of a grid by which a scale is told from another."""
        return {"steps": None, "epochs": None, **self.length, "train_samples": self.train_samples}


SCALES: Mapping[str, Scale] = {
    "quick": Scale(
        length={"steps": 400},
        train_samples=10_000,
        seeds=2,
        lrs=(0.001, 0.002, 0.004),
        reductions_of_others=("sum",),
        seeds_of_others=1,
        shorter=(
            "400 steps a run, 2 to 8 epochs of the first 10,000 images, where the author's program makes 40 of 50,000",
            "three learning rates of SGD, a factor of 4 in all",
            "NAG, RMSProp and AdaGrad with averaged gradients",
        ),
    ),
    "full": Scale(
        length={"epochs": 40},
        train_samples=None,
        seeds=5,
        lrs=(0.0005, 0.001, 0.002, 0.004, 0.008, 0.016),
        reductions_of_others=REDUCTIONS,
        seeds_of_others=5,
        shorter=(),
    ),
}


@attrs.frozen(kw_only=True)
class Part:
    """A part of the experiment: the name of its folder, and its grid."""

    name: str
    grid: GridConfig


def left_out(scale: str, planned: Sequence[Part]) -> tuple[str, ...]:
    """Return what the experiment has more than these parts of it, a phrase each."""
    fewest = fewest_deciding(planned[0].grid.confidence)
    few: dict[int, list[str]] = {}
    for part in planned:
        if isinstance(part.grid.seeds, int) and part.grid.seeds < fewest:
            few.setdefault(part.grid.seeds, []).append(part.name)
    words = [
        f"{seeds} seed{'s' * (seeds > 1)} of {', '.join(names)}: it takes {fewest} that agree to decide a cell"
        for seeds, names in few.items()
    ]
    return (*SCALES[scale].shorter, *words)


def parts(
    scale: str, data: str, model: str = "paper-cnn", *, seeds: int | None = None, **common: Any
) -> tuple[Part, ...]:
    """Return the parts at a scale of `SCALES`, UsageError for others; `common` are more fields of `GridConfig`.

    All have that many `seeds`; as many as the scale says where it is None.
    """
    if scale not in SCALES:
        raise UsageError(f"--scale must be {' or '.join(SCALES)}, not {scale!r}")
    size = SCALES[scale]
    if seeds is not None:
        size = attrs.evolve(size, seeds=seeds, seeds_of_others=seeds)

    def part(name: str, reduction: Reduction, optimizers: tuple[str, ...], seeds: int, **more: Any) -> Part:
        grid = GridConfig(
            data=data,
            model=model,
            optimizers=optimizers,
            batch_sizes=BATCH_SIZES,
            seeds=seeds,
            reduction=reduction,
            train_samples=size.train_samples,
            **{**size.length, **more, **common},
        )
        return Part(name=f"{name}-{reduction}", grid=grid)

    found = []
    for reduction in REDUCTIONS:
        factor = 1 if reduction == "sum" else AUTHORS_BATCH
        lrs = tuple(float(f"{lr * factor:.6g}") for lr in size.lrs)
        found.append(part("sgd", reduction, ("sgd",), size.seeds, lrs=lrs))
        found.append(part("adam", reduction, ("adam", "adam-inside"), size.seeds))
        if reduction in size.reductions_of_others:
            found.append(part("others", reduction, OTHERS[reduction], size.seeds_of_others))
    return tuple(found)


def check_parts(planned: Sequence[Part], out: Path | None = None, resume: bool = False) -> None:
    """Raise what `run_parts` raises before it runs anything, of all parts beforehand; nothing is written.

    UsageError too where `out` was begun at another scale.
    """
    if out is not None:
        _check_whole(out, resume)
    _check_package(planned)
    images = None
    for part in planned:
        if resume and out is not None and (out / part.name / GRID).exists():
            _check_scale(part, out)
        host = host_for(part.grid)
        runs = plan(part.grid, host, images)
        images = runs[0].images
        if out is not None:
            check_folder(out / part.name, remembered(part.grid, host, runs), host.active, resume, flags=("data",))


def _check_whole(out: Path, resume: bool) -> None:
    """Raise UsageError unless a reproduction may begin in `out`, or with `resume` go on there."""
    if out.is_file():
        raise UsageError(f"{out} is a file: give --out a folder")
    if (out / GRID).exists():
        raise UsageError(
            f"{out} holds a characterization, and a reproduction needs a folder of its own: choose another --out"
        )
    if any((out / name / GRID).exists() for name in PARTS):
        if not resume:
            raise UsageError(f"{out} already holds a reproduction: go on with --resume, or choose another --out")
    elif foreign := next((name for name in WHOLE if (out / name).exists()), ""):
        raise not_ours(out, foreign, "part of a reproduction")


def _check_package(planned: Sequence[Part]) -> None:
    """Raise UsageError where optimizers are missing because the package that brings them is not installed.

    Of one that is installed, but broken or blocked, the host tells.
    """
    host = host_for(planned[0].grid)
    names = dict.fromkeys(parse_spelling(spelled)[0] for part in planned for spelled in part.grid.optimizers)
    missing = [name for name in names if host.find("optimizers", name) is None]
    if missing and all(plugin.name != PACKAGE for plugin in host.plugins):
        raise UsageError(
            f"the reproduction needs {', '.join(missing)} of the package {PACKAGE}, which is not installed: "
            f"pip install -e ./optiscope/plugins/{PACKAGE} (or uv pip install), where ./optiscope is optiscope's source"
        )


def _check_scale(part: Part, out: Path) -> None:
    now, was = _scale_of(attrs.asdict(part.grid)), _scale_of(read_grid(out / part.name)["grid"])
    if now and was and now != was:
        raise UsageError(f"--resume: --scale is {now} now and was {was} in {out}: give --scale {was}, or another --out")


def _scale_of(grid: Mapping[str, Any]) -> str:
    """Return the name of the scale of a grid; empty where it has none of them."""
    found = (name for name, scale in SCALES.items() if {key: grid.get(key) for key in scale.extent} == scale.extent)
    return next(found, "")


def go_on(out: Path) -> str:
    """Return the command that goes on with the experiment in the folder `out`; empty where none was begun there."""
    grids = {name: read_grid(out / name)["grid"] for name in PARTS if (out / name / GRID).exists()}
    if not grids:
        return ""
    first = next(iter(grids.values()))
    data, scale = str(first["data"]), _scale_of(first)
    words = ["optiscope", "reproduce", "paper", "--data", data, *(["--scale", scale] if scale else [])]
    usual = {part.name: part.grid.seeds for part in parts(scale, data)} if scale else {}
    if any(grid["seeds"] != usual.get(name) for name, grid in grids.items()):
        words += ["--seeds", str(max(grid["seeds"] for grid in grids.values()))]
    return shlex.join([*words, "--out", str(out), "--resume"])


def run_parts(
    planned: tuple[Part, ...],
    out: Path,
    *,
    jobs: int | None = None,
    executor: str = "processes",
    resume: bool = False,
    on_part: Callable[[Part], OnProgress | None] = lambda _: None,
) -> None:
    """Run every part into its folder in `out`; `on_part` is told which comes next, and returns who is told of progress.

    With `resume` finished runs are kept and the others go on; errors are those of `characterize`.
    """
    ahead = _Ahead([_unfinished(part, out) for part in planned])
    for part in planned:
        told = ahead.begin(on_part(part))
        characterize(part.grid, out / part.name, jobs=jobs, executor=executor, resume=resume, on_progress=told)


def _unfinished(part: Part, out: Path) -> int:
    """Return how many runs of a part are still to be made."""
    return len(expand(part.grid)) - sum(map(is_finished, (out / part.name).glob("runs/*.h5")))


@attrs.define
class _Ahead:
    """How long the parts to come will take: a run of theirs as long as one of the parts until now.

    Runs of all parts have the same network, the same lengths and the same batch sizes. `runs` are to be made in the
    parts to come, `begun` in those until now, of which the ones before the last took `seconds`.
    """

    runs: list[int]
    begun: int = 0
    seconds: float = 0.0

    def begin(self, tell: OnProgress | None) -> OnProgress | None:
        """Go on to the next part, and return who is told of its progress: with what comes later, `tell` is."""
        self.begun += self.runs.pop(0)
        if tell is None:
            return None
        before = self.seconds

        def told(progress: GridProgress) -> None:
            self.seconds = before + progress.elapsed
            later = None
            if progress.remaining is not None and self.begun > 0 and sum(self.runs) > 0:
                later = (self.seconds + progress.remaining) / self.begun * sum(self.runs)
            tell(attrs.evolve(progress, later=later))

        return told
