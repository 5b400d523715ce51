"""`optiscope data fetch|make|verify`: image data in CIFAR-10's binary layout."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from optiscope.cli.app import command, group
from optiscope.cli.options import BLOCK, FILES, JSON, OUTPUT, PIECES, SET, flag, parse_options


def fetch(
    name: Annotated[Literal["cifar10"], Parameter(help="What to fetch: cifar10, 170 MB.")],
    /,
    *,
    cache: Annotated[Path | None, flag(OUTPUT, "The folder to keep it in.", "DIR", "the user's cache folder")] = None,
    base_url: Annotated[str | None, flag(OUTPUT, "Where the archive is.", "URL", "its authors' page")] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Download CIFAR-10 once, check it, and keep it.

    '--data cifar10' finds it in the user's cache folder, or in the one that OPTISCOPE_CACHE names. What --cache keeps
    elsewhere is found by its path, which the command shows.

    For example:

      optiscope data fetch cifar10
    """
    import shlex

    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from optiscope.cli import console
    from optiscope.data.fetch import fetch_cifar10

    err = console.stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        folder = fetch_cifar10(cache, base_url, progress=_Download(progress, name))
    if json:
        console.write_json({"folder": str(folder)})
    else:
        console.show(console.stdout(), str(folder))
    console.show(
        err, f"Train on it: optiscope characterize --data {name if cache is None else shlex.quote(str(folder))}"
    )


def make(
    out: Annotated[Path, Parameter(help="The folder to write; it must not hold data already.")],
    /,
    *,
    data: Annotated[str, flag(PIECES, "The data set to write out.", "NAME", True)] = "synthetic",
    options: Annotated[tuple[str, ...], SET] = (),
    files: Annotated[tuple[str, ...], FILES] = (),
    block: Annotated[tuple[str, ...], BLOCK] = (),
    json: Annotated[bool, JSON] = False,
) -> None:
    """Write a data set into a folder, in CIFAR-10's binary layout, which '--data PATH' reads.

    For example:

      optiscope data make my-images
      optiscope data make my-images --set synthetic.seed=1
    """
    from optiscope.cli import console
    from optiscope.data.cifar10 import make
    from optiscope.errors import unknown
    from optiscope.hooks import create_manager

    chosen = parse_options(options)
    if others := sorted(set(chosen) - {data}):
        raise unknown("data set", others[0], [data])
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no result
        dataset = create_manager(files=files, block=block).build("datasets", data, chosen.get(data, {}))
        folder = make(out, dataset)
    if json:
        console.write_json({"folder": str(folder)})
    else:
        console.show(console.stdout(), str(folder))


def verify(
    path: Annotated[Path | None, Parameter(help="The folder to read; without it, what 'data fetch' left.")] = None,
    /,
    *,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Read a folder of image data from end to end and say what is in it.

    For example:

      optiscope data verify my-images
    """
    from optiscope.cli import console, tables
    from optiscope.data.cifar10 import cache_folder
    from optiscope.data.cifar10 import verify as read_all

    found = read_all(path or cache_folder())
    if json:
        fields = ("records", "class_names", "train_counts", "test_counts", "digest")
        console.write_json({"folder": str(found.folder)} | {name: getattr(found, name) for name in fields})
        return
    table = tables.plain_table("class", "train", "test", right=("train", "test"))
    for row in zip(found.class_names, found.train_counts, found.test_counts, strict=True):
        table.add_row(*map(str, row))
    whole = f"{found.folder}: sound, {sum(found.records.values())} images, SHA-256 {found.digest}"
    console.show(console.stdout(), table, whole)


app = group("data", "Fetch, make or verify image data.")
app.command(command(fetch))
app.command(command(make))
app.command(command(verify))


class _Download:
    """Shows a download to the user; what `fetch_cifar10` tells it is in bytes."""

    def __init__(self, progress: Any, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None)

    @property
    def total(self) -> int:
        return int(self._progress.tasks[self._task].total or 0)

    @total.setter
    def total(self, size: int) -> None:
        self._progress.update(self._task, total=size)

    def update(self, size: int) -> None:
        self._progress.update(self._task, advance=size)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Leave the bar as it is; it vanishes with the display."""
