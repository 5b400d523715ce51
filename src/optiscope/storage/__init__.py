"""Run files: `RunWriter` writes one, `open_run` reads it, live or finished; `schema` says what is in it.

h5py, pandas and xarray are imported where they are used, so that importing this costs little.
"""

from optiscope.storage.grid import Grid, open_grid, write_index
from optiscope.storage.reader import Run, open_run
from optiscope.storage.recover import Recovery, recover
from optiscope.storage.verify import Verification, verify
from optiscope.storage.writer import RunWriter

__all__ = [
    "Grid",
    "Recovery",
    "Run",
    "RunWriter",
    "Verification",
    "open_grid",
    "open_run",
    "recover",
    "verify",
    "write_index",
]
