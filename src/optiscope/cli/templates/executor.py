"""An executor: worker processes that leave the machine to everybody else.

They have a lower priority (Unix's nice), so that a grid of a night does not slow down an editor. Whatever is a
`concurrent.futures.Executor` can stand in its place: a cluster's, for example.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, ClassVar

from optiscope.hooks import hookimpl


class MyPlugin(ProcessPoolExecutor):
    """`jobs` processes; `niceness`, from 0 to 19, is added to that of the process which starts them."""

    name: ClassVar[str] = "my-plugin"

    def __init__(self, jobs: int = 1, niceness: int = 10) -> None:
        if not 0 <= niceness <= 19:
            raise ValueError(f"niceness must be a whole number from 0 to 19, not {niceness}")
        spawn = multiprocessing.get_context("spawn")  # a fork would take over locks that other threads hold
        super().__init__(jobs, mp_context=spawn, initializer=os.nice, initargs=(niceness,))


@hookimpl
def optiscope_executors() -> Sequence[Any]:
    """Bring the executor."""
    return [MyPlugin]
