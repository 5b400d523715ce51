"""The linear algebra library under NumPy: kept to one thread, and named.

A run computes on the threads that `optiscope.engine.shards` makes, if on more than one; the BLAS adds none of its own.
Matrix products of a block of a batch are too small to be worth sharing out again, and bits that followed the number of
cores of a machine could not be repeated on another.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits


def one_thread() -> threadpool_limits:
    """Keep the BLAS to one thread, from the call on; as a context manager, until its end.

    Some libraries count for the whole process and some for the calling thread, so every thread of a run calls this.
    A library that threadpoolctl does not know (Apple's Accelerate) is left as it is.
    """
    return threadpool_limits(limits=1, user_api="blas")


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return what was loaded when this was first called, NumPy's among them; looking for them takes long."""
    return ThreadpoolController()


def in_use() -> dict[str, str | int]:
    """Return `name`, `version`, `architecture` (of the code that runs, "Haswell" say) and `threads` of NumPy's BLAS.

    Where threadpoolctl does not know the library, the name and version that NumPy was built with, and nothing else.
    """
    loaded = [library for library in _libraries().info() if library["user_api"] == "blas"]
    if not loaded:
        built: Any = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return {"name": str(built.get("name", "")), "version": str(built.get("version", ""))}
    folder = str(Path(np.__file__).parent)  # of NumPy; what its wheels bring lies in numpy.libs beside it, or inside
    library = next((each for each in loaded if each["filepath"].startswith(folder)), loaded[0])
    return {
        "name": library["internal_api"],
        "version": library["version"] or "",
        "architecture": library.get("architecture") or "",
        "threads": library["num_threads"],
    }
