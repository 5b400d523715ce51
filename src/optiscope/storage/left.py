"""What a process that ended before its run did has left: a live file, and a checkpoint beside it.

A run goes on with them only if nothing can be wrong with the file. It has no checksums while it lives. But all of it
apart from the rows follows from what the run is: so the image that the run would begin with today must be the file byte
for byte, rows and `/run_state` left out. Another version of NumPy, other schedules of recorders, a file cut short,
a flipped bit in the metadata: all of them show there.

After a power failure, rows of the epoch that was not over may be missing although `/run_state` vouches for them: they
had not been fsynced. Where the machine was started since, the run goes on as if those steps had not been stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from optiscope.errors import FileError
from optiscope.records import Checkpoint
from optiscope.storage import checkpoint, files, image, schema
from optiscope.storage.reader import open_run


@attrs.frozen(kw_only=True, eq=False)
class Left:
    """How far a live file has come, and the checkpoint from which its run goes on.

    `root` are its root attributes, and `offsets` the bytes at which the rows of its datasets begin.
    """

    checkpoint: Checkpoint
    n_steps: int
    n_epochs: int
    commits: int
    root: Mapping[str, Any]
    offsets: Mapping[str, int]


def left_behind(path: Path, layout: tuple[schema.Dataset, ...], root: Mapping[str, Any]) -> Left | None:
    """Return what lies at `path`; None if the run with this layout and these root attributes cannot go on with it."""
    kept = checkpoint.read(checkpoint.path_of(path))
    if kept is None or kept.run_id != root["run_id"]:
        return None
    try:
        with open_run(path) as run:
            began = {**root, "created_utc": run.attrs.get("created_utc")}
            n_steps, n_epochs, _, commits = map(int, run.h5[schema.RUN_STATE][...])
            last = float(run.h5["step/wall_time"][n_steps - 1]) if n_steps else 0.0
        if files.restarted_since(path):
            n_steps = min(n_steps, n_epochs * kept.step // len(kept.epochs))
        live = image.build_live(layout, began)
        found = bytearray(path.read_bytes())
    except (FileError, OSError, TypeError, ZeroDivisionError):
        return None
    if len(found) != len(live.data) or not (0 < kept.step <= n_steps and 0 < len(kept.epochs) <= n_epochs):
        return None
    for dataset in layout:
        if dataset.every is not None or dataset.path == schema.RUN_STATE:
            begin = live.offsets[dataset.path]
            rows = slice(begin, begin + dataset.nbytes)
            found[rows] = live.data[rows]
    if found != live.data:
        return None
    kept = attrs.evolve(kept, wall_time=max(kept.wall_time, last))  # the clock of the file never falls
    return Left(checkpoint=kept, n_steps=n_steps, n_epochs=n_epochs, commits=commits, root=began, offsets=live.offsets)


def steps_in(path: Path) -> int:
    """Return how many steps of an unfinished run a file holds; 0 where there is none to be had."""
    try:
        with open_run(path) as run:
            return run.n_steps
    except FileError:
        return 0
