"""`main`: run a command, turn whatever ends it into one line on stderr and an exit code.

    0    the command did what it was asked to, whatever the verdicts
    1    `check` found that an optimizer fails, or `compare` a regression; or something unexpected, a mistake in
         optiscope or in a plugin
    2    bad input: what is wrong and how to mend it
    130  Ctrl-C: what was kept and how to go on
    143  the same, asked for by SIGTERM, as batch systems do before they end a job
    141  nobody reads stdout any more (`optiscope ... | head`)

OPTISCOPE_TRACEBACK=1 lets the exception through instead, for whoever wants to see where it came from.
"""

from __future__ import annotations

import errno
import io
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optiscope.errors import OptiscopeError

if TYPE_CHECKING:
    from cyclopts import CycloptsError

OK, UNEXPECTED, BAD_INPUT, INTERRUPTED, NO_READER, TERMINATED = 0, 1, 2, 130, 141, 143
TRACEBACK = "OPTISCOPE_TRACEBACK"
PATIENCE = 2

REMEDIES = {
    errno.ENOSPC: "free some space; finished runs are kept, and --resume runs the others",
    errno.EDQUOT: "free some of your quota; finished runs are kept, and --resume runs the others",
    errno.EACCES: "choose another place or change its permissions",
    errno.EPERM: "choose another place or change its permissions",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "choose a path that is not below a file",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""How to mend what the operating system refused; anything else from it is unexpected."""

JOINTS = (
    ("unknown option: ", "unknown option "),
    (". Choose from: ", ": choose from "),
    (". Did you mean", "; did you mean"),
    ("? Available commands: ", "? known: "),
    (". Available commands: ", "; known: "),
)
"""What makes one sentence of the several that cyclopts writes."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while `out` was written: `kept` says what is there."""

    def __init__(self, kept: str, out: Path) -> None:
        super().__init__(kept)
        self.out = out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `optiscope ARGUMENTS` (default: those of the process) and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows a question mark
    asked: list[int] = []
    try:
        with _listening(asked, ends=arguments is None):
            from optiscope.cli.app import make_app  # here, so that Ctrl-C during the imports is one line as well

            run = make_app()
            code = run(words, exit_on_error=False, print_error=False, verbose=False, result_action="return_value")
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return NO_READER
    except KeyboardInterrupt as error:
        what, code = ("terminated", TERMINATED) if asked[:1] == [signal.SIGTERM] else ("interrupted", INTERRUPTED)
        go_on = f"; go on with: {_again(words, error.out)}" if isinstance(error, Interrupted) else ""
        return _end(f"{what}: {error}{go_on}" if str(error) else what, code)
    except (Exception, SystemExit) as error:  # sys.exit in a plugin would end this without a word
        if os.environ.get(TRACEBACK):
            raise
        return _end(*_explain(error))
    return OK if code is None else int(code)


@contextmanager
def _listening(asked: list[int], *, ends: bool) -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, and put the numbers of both into `asked`; only the main thread is told of them.

    The second of them changes nothing while the first is heeded, so that whoever is impatient still gets the line that
    says what is kept; the third ends whatever goes on. (Python drops what a signal raises in a finaliser,
    and then it is the second that counts.) Where the process `ends` afterwards, those that come too late to change
    anything are ignored: Python takes its own handlers down while it ends, and the exit code would tell of a crash.
    """

    def end(number: int, _: object) -> None:
        asked.append(number)
        if len(asked) != PATIENCE or not _heeded(sys.exc_info()[1]):
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_IGN if ends and asked else before[number])


def _heeded(error: BaseException | None) -> bool:
    """Say whether a KeyboardInterrupt is on its way: `error`, which is handled where the signal came, or behind it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _again(words: list[str], out: Path) -> str:
    """Return the command that goes on in `out`."""
    words = [word for word in words if word not in ("--resume", "--overwrite")]
    if not any(word.partition("=")[0] == "--out" for word in words):
        words += ["--out", str(out)]
    return shlex.join(["optiscope", *words, "--resume"])


def _explain(error: BaseException) -> tuple[str, int]:
    from cyclopts import CycloptsError

    if isinstance(error, CycloptsError):
        return _parse_sentence(error), BAD_INPUT
    if isinstance(error, OptiscopeError):
        return str(error), BAD_INPUT
    if isinstance(error, OSError) and error.errno in REMEDIES:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{(error.strerror or '').lower()}: {REMEDIES[error.errno]}", BAD_INPUT
    kind = type(error).__name__
    return f"unexpected {kind}: {error} (set {TRACEBACK}=1 to see where it came from, and please report it)", UNEXPECTED


def _parse_sentence(error: CycloptsError) -> str:
    from cyclopts.exceptions import MissingArgumentError, UnknownCommandError, UnusedCliTokensError

    command = " ".join(("optiscope", *(error.command_chain or ())))
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        sentence = f"unexpected argument '{error.unused_tokens[0]}'"
    elif isinstance(error, MissingArgumentError) and error.argument:
        sentence = f"{error.keyword or error.argument.name} needs a value"
    else:
        sentence = str(error).strip().rstrip(".").replace('"', "'")
        sentence = sentence[:1].lower() + sentence[1:]
        for theirs, ours in JOINTS:
            sentence = sentence.replace(theirs, ours)
    if isinstance(error, UnknownCommandError):
        return sentence
    return f"{sentence}{'' if sentence.endswith('?') else ';'} see '{command} --help'"


def _end(sentence: str, code: int) -> int:
    sys.stdout.flush()
    line = " ".join(sentence.split())
    print(f"optiscope: {line}", file=sys.stderr)
    return code
