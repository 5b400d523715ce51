"""What optiscope raises.

Every message is one sentence that says what is wrong, where, and how to mend it; the command line prints it
as it stands. Divergence of a training run is not in this list: it is a result, see `optiscope.records.RunResult`.
"""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path


class OptiscopeError(Exception):
    """Base of every error that optiscope raises on purpose."""


class UsageError(OptiscopeError):
    """Something that was asked for cannot be had: a wrong name, option, path or combination."""


class DataError(UsageError):
    """A data file is missing, damaged or not what it should be."""


class FileError(OptiscopeError):
    """A file or folder of results cannot be written, or is not one that can be read."""


class HeldError(FileError):
    """A file or folder of results is being written by another process; the message names it."""


class NotRepeatedError(FileError):
    """A run that was taken up again did not come to what its file holds already."""


class PluginError(OptiscopeError):
    """A plugin could not be loaded, or raised while a run depended on it; the message names the plugin."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that nobody registered, with the nearest known name first.

    `kind` is a noun ("optimizer"), `known` the names that would have been accepted.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return UsageError(f"unknown {kind} '{name}': {hint}known: {', '.join(names) or 'none'}")


def told(error: BaseException) -> str:
    """Return what somebody else's code raised in one line, with the place in that code where it happened.

    The place is the deepest one outside this package and outside installed libraries, if there is one.
    """
    if isinstance(error, OptiscopeError):
        return str(error)
    ours = str(Path(__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith((ours, "<")) and "numpy" not in frame.filename]
    where = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
    return " ".join(f"{type(error).__name__}: {error}{where}".split())
