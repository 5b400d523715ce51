"""Whether a finished run file is as it was written."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from optiscope.errors import FileError
from optiscope.storage import content, guard
from optiscope.storage.reader import open_run


@attrs.frozen(kw_only=True)
class Verification:
    """What `verify` found: `intact` is None where the run has not ended, so that there is nothing to compare with."""

    path: Path
    intact: bool | None
    why: str


def verify(path: str | os.PathLike[str]) -> Verification:
    """Compare the content of a finished run file with the SHA-256 that was stored at its end.

    FileError where the file cannot be opened as a run at all.
    """
    with open_run(path) as run:
        stored = run.attrs.get(content.DIGEST)
        if stored is None:
            return Verification(path=run.path, intact=None, why="the run has not ended: nothing to compare with")
        try:
            with guard.reading(run.path):
                guard.check_all(run.h5, run.path)
                found = content.digest_read(run.h5)
        except FileError as error:
            return Verification(path=run.path, intact=False, why=f"a part cannot be read: {error.__cause__ or error}")
    if found != stored:
        return Verification(path=run.path, intact=False, why=f"the content has SHA-256 {found}, not {stored}")
    return Verification(path=run.path, intact=True, why="the content is as it was written")
