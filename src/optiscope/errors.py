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


RAISED = (Exception, SystemExit)
"""What a plugin may raise: `sys.exit` in it is an error of its own, and Ctrl-C (KeyboardInterrupt) is not."""


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
    what, places = str(error), _places(error)
    if isinstance(error, SyntaxError) and error.filename:
        what, places = error.msg, [(error.filename, error.lineno)]
    where = ""
    if places:
        file, line = Path(places[-1][0]), places[-1][1]
        where = f" ({file.parent.name + '/' if file.name == '__init__.py' else ''}{file.name}, line {line})"
    return storable(" ".join(f"{type(error).__name__}: {what}{where}".split()))


def storable(text: str) -> str:
    """Return `text` with escapes in the place of what no UTF-8 file can hold, NUL and lone surrogates."""
    return text.replace("\0", r"\0").encode(errors="backslashreplace").decode()


def _places(error: BaseException) -> list[tuple[str, int | None]]:
    """Return file and line of each frame that is neither ours, nor NumPy's, nor of Python's own library."""
    ours, python = str(Path(__file__).parent), str(Path(traceback.__file__).parent)
    return [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((ours, "<"))
        and "numpy" not in frame.filename
        and (not frame.filename.startswith(python) or "-packages" in frame.filename)
    ]
