"""`optiscope reproduce paper`: the seed paper's experiment, against what the paper says of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from optiscope.cli.app import command, group
from optiscope.cli.options import JSON, OUTPUT, PIECES, RUN, WHOLE, check_workers, flag
from optiscope.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from optiscope.labels.cells import Cell
    from optiscope.labels.reproduction import Reproduction
    from optiscope.sweep.cost import Cost
    from optiscope.sweep.execute import OnProgress
    from optiscope.sweep.paper import Part


def paper(
    *,
    data: Annotated[
        str, flag(RUN, "'cifar10', fetched before, or a folder in CIFAR-10's binary layout.", "NAME|PATH", True)
    ] = "cifar10",
    scale: Annotated[
        Literal["quick", "full"], flag(RUN, "How much of it: what fits into half an hour, or all.", default=True)
    ] = "quick",
    seeds: Annotated[
        int | None, flag(RUN, "Seeds a cell; more of them with --resume.", "N", "2, or 5 of 'full'")
    ] = None,
    jobs: Annotated[int | None, flag(PIECES, "Runs at the same time.", "N", "one a core"), WHOLE] = None,
    out: Annotated[Path | None, flag(OUTPUT, "The folder to write.", "DIR", "a new dated folder")] = None,
    resume: Annotated[bool, flag(OUTPUT, "Keep the finished runs in --out, go on with the others.")] = False,
    dry_run: Annotated[bool, flag(OUTPUT, "Say what would run and for how long, write nothing.")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Repeat the experiment of Ando, Fukuhara and Takefuji (2023), and compare.

    SGD and Adam at batch sizes 50, 100, 150 and 200, with gradients summed and averaged over a batch; SGD at several
    learning rates, Adam with epsilon in both places; beside them NAG, RMSProp and AdaGrad, which come with the package
    optiscope-optimizers. What the paper calls stable and unstable, in four places that contradict one another, is set
    against the measured P(unstable).

    For example:

      optiscope reproduce paper --data PATH --dry-run
      optiscope reproduce paper --data PATH --out paper
    """
    from optiscope import report
    from optiscope.cli import console
    from optiscope.labels.reproduction import FILE_NAME, reproduction
    from optiscope.sweep.folder import default_folder
    from optiscope.sweep.paper import check_parts, left_out, parts, run_parts

    check_workers(jobs)
    if resume and out is None:
        raise UsageError("--resume needs --out DIR: the folder that was begun")
    if seeds is not None and seeds < 1:
        raise UsageError(f"--seeds must be a whole number >= 1, not {seeds}")
    err, planned = console.stderr(), parts(scale, data, seeds=seeds)
    with contextlib.redirect_stdout(sys.stderr):
        check_parts(planned, out, resume)
    console.show(err, *(f"Left out: {line}." for line in left_out(scale, planned)))
    if dry_run or scale == "full":
        console.show(err, "A few steps of each kind of run are made, to tell how long all take: that may take minutes.")
        costs = _foresee(planned, out, jobs, resume)
        _tell(planned, costs, json=json, short=not dry_run)
    if dry_run:
        return
    if scale == "quick":
        console.show(err, f"{sum(map(_size, planned))} runs in all: --dry-run tells how long they take.")
    out = out or default_folder()
    with _progress(planned, out) as on_part, contextlib.redirect_stdout(sys.stderr):
        run_parts(planned, out, jobs=jobs, resume=resume, on_part=on_part)
    console.show(err, "All parts have ended: comparison and reports are made.")
    found = reproduction(out)
    document = found.write(out)
    if json:
        sys.stdout.write(document)
    else:
        console.show(console.stdout(), *tables(found))
    for part in planned:
        report.write_report(out / part.name)
    page = report.write_report(out)
    parts_too = f"a folder with its report.html for each part, and {FILE_NAME}"
    console.show(err, f"Everything is in {out}: open {page}; {parts_too}.")


app = group("reproduce", "Repeat a published experiment, and say how far it bears out its claims.")
app.command(command(paper))


@contextlib.contextmanager
def _progress(planned: Sequence[Part], out: Path) -> Iterator[Callable[[Part], OnProgress]]:
    """Yield what is told which part begins, and shows its progress until the next one does."""
    from optiscope.cli import console, live
    from optiscope.cli.run import Interrupted

    err = console.stderr()
    with contextlib.ExitStack() as stack:

        def begin(part: Part) -> OnProgress:
            stack.close()
            console.show(err, f"{part.name}: {_size(part)} runs, part {planned.index(part) + 1} of {len(planned)}")
            return stack.enter_context(live.watch(err, "The runs have ended: index and verdicts are made."))

        try:
            yield begin
        except KeyboardInterrupt:
            stack.close()
            raise Interrupted("what had finished is kept", out) from None


def _size(part: Part) -> int:
    from optiscope.sweep.grid import expand

    return len(expand(part.grid))


def _foresee(planned: Sequence[Part], out: Path | None, jobs: int | None, resume: bool) -> list[Cost]:
    """Return what each part costs, by a few steps of each kind of run in it."""
    from optiscope.sweep.cost import foresee

    with contextlib.redirect_stdout(sys.stderr):
        return [foresee(part.grid, out and out / part.name, jobs=jobs, resume=resume) for part in planned]


def _tell(planned: Sequence[Part], costs: Sequence[Cost], json: bool, short: bool) -> None:
    """Show a row a part on stdout, unless it shall be `short`, and on stderr how long all of it takes."""
    from optiscope.cli import console, live
    from optiscope.cli.tables import plain_table

    runs, seconds = sum(len(cost.pending) for cost in costs), sum(cost.total for cost in costs)
    if not short and json:
        names = ("part", "optimizers", "lrs", "seeds", "runs", "seconds")
        rows = [
            (part.name, part.grid.optimizers, part.grid.lrs, part.grid.seeds, len(cost.pending), cost.total)
            for part, cost in zip(planned, costs, strict=True)
        ]
        console.write_json({"parts": [dict(zip(names, row, strict=True)) for row in rows], "seconds": seconds})
    elif not short:
        table = plain_table("part", "optimizers", "lr", "seeds", "runs", "time", right=("seeds", "runs", "time"))
        for part, cost in zip(planned, costs, strict=True):
            lrs = " ".join(f"{lr:g}" for lr in part.grid.lrs) or "its own"
            words = (str(part.grid.seeds), str(len(cost.pending)), live.duration(cost.total))
            table.add_row(part.name, " ".join(part.grid.optimizers), lrs, *words)
        console.show(console.stdout(), table)
    total = f"{runs} runs: about {live.duration(seconds)} with {costs[0].jobs} at a time"
    console.show(console.stderr(), total if short else f"{total}; nothing was written")


def tables(found: Reproduction) -> list[Table | str]:
    """Return what was measured in every cell, how far the paper agrees, and what SGD's batch size does."""
    return [*_measured(found), *_agreements(found), *_steps(found)]


def _measured(found: Reproduction) -> list[Table | str]:
    from optiscope.cli.tables import plain_table
    from optiscope.labels.claims import BATCH_SIZES

    table = plain_table("part", "optimizer", "lr", *map(str, BATCH_SIZES), right=("lr",))
    rows: dict[tuple[str, str, float], dict[int, Cell]] = {}
    for part, cells in found.cells.items():
        for cell in cells:
            rows.setdefault((part, cell.optimizer, cell.lr), {})[cell.batch_size] = cell
    for (part, optimizer, lr), row in rows.items():
        words = [_counted(row[size]) if size in row else "-" for size in BATCH_SIZES]
        table.add_row(part, optimizer, f"{lr:g}", *words)
    return ["Runs that were unstable, of those that were decided (and undecided ones), by batch size:", table, ""]


def _counted(cell: Cell) -> str:
    p = cell.p_unstable
    return f"{p.unstable} of {p.decided}" + (f" (+{p.undecided})" if p.undecided else "")


def _agreements(found: Reproduction) -> list[Table | str]:
    from optiscope.cli.tables import plain_table
    from optiscope.labels.claims import CLAIMS

    lines: list[Table | str] = ["Agreement with what the paper claims, its 95 % interval, and chance:"]
    lines += [f"  {letter}  {claim}" for letter, claim in zip("ABCD", CLAIMS, strict=True)]
    table = plain_table("loss", "SGD's lr", "Adam's epsilon", *"ABCD", right=("SGD's lr",))
    for each in found.settings:
        words = [f"{one.mean:.2f} ({one.low:.2f} to {one.high:.2f}; {one.chance:.2f})" for one in each.agreements]
        table.add_row(each.reduction, f"{each.lr:g}", each.epsilon, *words)
    return [*lines, table, ""]


def _steps(found: Reproduction) -> list[Table | str]:
    from optiscope.cli.tables import plain_table
    from optiscope.labels.reproduction import MEASURES

    titles = ("between seeds", "at equal B x lr", "at equal lr", "ratio of these two", "says")
    table = plain_table("distance of two runs in", *titles)
    for name, each in found.steps.items():
        distances = ["-" if value is None else f"{value:.3f}" for value in (each.seeds, each.along, each.across)]
        low, high = each.share_interval
        share = "-" if each.share is None else f"{each.share:.2f} ({low:.2f} to {high:.2f})"
        table.add_row(MEASURES[name], *distances, share, each.says)
    question = "Is what batch size does to SGD, under sum, an effect of the effective step B x lr?"
    return [question, table, found.boundary.told]
