"""Run files: `RunWriter` writes one, `open_run` reads it, live or finished; `schema` says what is in it.

h5py, pandas and xarray are imported where they are used, so that importing this costs little.
"""

from optiscope.storage.reader import Grid, Run, Verification, open_grid, open_run, verify
from optiscope.storage.writer import RunWriter

__all__ = ["Grid", "Run", "RunWriter", "Verification", "open_grid", "open_run", "verify"]
