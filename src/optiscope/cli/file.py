"""`optiscope file info`: look into a run file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from optiscope.cli.app import command, group
from optiscope.cli.options import JSON


def info(
    path: Annotated[Path, Parameter(help="A run file, OUT/runs/NAME.h5; it may still be written.")],
    /,
    *,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Say what run a file holds, how far it has come, what was recorded, and what that cost.

    For example:

      optiscope file info OUT/runs/NAME.h5
    """
    from rich.table import Table

    from optiscope.cli import console
    from optiscope.report import observer_rows
    from optiscope.storage import open_run

    with open_run(path) as run:
        config = run.config
        facts: dict[str, Any] = {
            "run_id": run.run_id,
            "status": run.status,
            "why": run.why,
            "steps": run.n_steps,
            "steps_asked": config["steps"],
            "epochs": run.n_epochs,
            **{name: config[name] for name in ("optimizer", "batch_size", "lr", "seed", "model", "data")},
            **{name: config["config"][name] for name in ("kernels", "threads")},
            "blas": config.get("blas", {}),
            "wall_time": run.attrs.get("wall_time"),
            "observer_time": run.observer_time,
            "signals": {
                "step": list(run.steps),
                "probe": list(run.probe),
                "epoch": list(run.epochs),
                **{recorder: list(rows) for recorder, rows in run.plugins.items()},
            },
        }
    if json:
        console.write_json(facts)
        return
    signals = {f"signals of {name}": ", ".join(names) for name, names in facts.pop("signals").items()}
    blas, order = facts["blas"], ("name", "version", "architecture", "threads")
    facts["blas"] = ", ".join(f"{name} {blas[name]}" for name in order if blas.get(name))
    wall_time = facts["wall_time"]
    rows = [row.words for row in observer_rows([(facts.pop("observer_time"), wall_time or 0.0)])]
    times = {f"time of {name}": f"{took}, {share} of the run" for name, took, share in rows}
    facts["wall_time"] = "" if wall_time is None else f"{wall_time:.3g} s"
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for name, value in (facts | times | signals).items():
        if value != "":
            table.add_row(name.replace("_", " "), str(value))
    console.show(console.stdout(), table)


app = group("file", "Look into a run file.")
app.command(command(info))
