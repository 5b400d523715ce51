"""Follow pages of the documentation word for word, in an empty folder, and compare what they show with what comes.

    python tests/docs/follow.py docs/start.md docs/tutorial.md

One shell follows the pages in the order in which they are given. It begins in a folder that is empty, but for
`optiscope`, which is a link to this checkout. Of a page it does what a reader does who leaves nothing out:

    ```console                  types each line that begins with `$ `, and the next one too if it ends in a backslash;
                                the lines below, to the next `$ `, are what has to come, as it looks on a terminal of
                                80 columns
    ```{code-block} python      makes the file that `:caption:` names
    ```{code-block} diff        finds the lines without `+` in the file that `:caption:` names, and puts those without
                                `-` in their place

Other blocks are there to be read. In what is shown `...` stands for anything in a line, and on a line of its own for
any lines: for times, paths and versions, and for what the page leaves out. A command has to succeed, unless the
next one is `echo $?`; after one that does not, nothing is followed any further. The exit code is 1 if anything came
that a page does not show.
"""

from __future__ import annotations

import codecs
import difflib
import os
import pty
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?P<kind>\S.*)\n(?::caption: (?P<file>.+)\n\n)?(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
TYPED = re.compile(r"\$ ((?:.*\\\n)*.*)\n((?:.*\n)*)")
ASK = "$ echo $?"
MARK = "::followed::"
PATIENCE = 600
"""Seconds that a command may be silent."""


@attrs.frozen
class Command:
    """A line to type, and what has to come."""

    line: int
    typed: str
    shown: str
    may_fail: bool = False


@attrs.frozen
class File:
    """A file to write, or with `change` to edit."""

    name: str
    text: str
    change: bool = False


def steps(page: str) -> Iterator[Command | File]:
    """Yield what a reader of `page` does, in order."""
    for block in BLOCK.finditer(page):
        kind, name, text = block["kind"], block["file"], block["text"]
        if kind == "console":
            yield from _commands(text, page.count("\n", 0, block.start("text")) + 1)
        elif name:
            yield File(name, text, change=kind.endswith(" diff"))


def _commands(text: str, line: int) -> Iterator[Command]:
    first, *parts = re.split(r"^(?=\$ )", text, flags=re.MULTILINE)
    line += first.count("\n")
    for part, after in zip(parts, [*parts[1:], ""], strict=True):
        typed, shown = TYPED.match(part).groups()
        yield Command(line, typed, shown, may_fail=after.startswith(ASK))
        line += part.count("\n")


def changed(text: str, diff: str) -> str:
    """Return `text` with the lines of `diff` changed; ValueError if they are not there, or there twice."""
    lines = diff.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] != sign) for sign in "+-")
    if text.count(before) != 1:
        raise ValueError(f"these lines must be there once, and are there {text.count(before)} times:\n{before}")
    return text.replace(before, after)


def agrees(shown: str, came: str) -> bool:
    """Say whether `came` is what is `shown`, where `...` stands for anything."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "..." else ".*".join(map(re.escape, line.rstrip().split("..."))) + r"\n"
        for line in shown.splitlines()
    )
    return re.fullmatch(pattern, came) is not None


class Shell:
    """A shell whose commands write to a terminal of 80 columns that knows no colours; `folder` is where it is."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._read, written = pty.openpty()
        plain = {"TERM": "dumb", "COLUMNS": "80", "LINES": "25", "NO_COLOR": "1"}
        self._bash = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env={**env, **plain}, stdin=subprocess.PIPE, stdout=written, stderr=written
        )
        os.close(written)
        self.folder, self._code = folder, 0

    def type(self, line: str) -> tuple[str, int]:
        """Return the lines that came after `line` was typed, without blanks at their ends, and the exit code."""
        self._send(f"(exit {self._code})\n{{ {line}\n}} </dev/null\nprintf '\\n{MARK}%s %s\\n' $? \"$PWD\"\n")
        came, decoder = "", codecs.getincrementaldecoder("utf-8")()
        while not (end := re.search(rf"\n{MARK}(\d+) (.*)\n", came)):
            if not select.select([self._read], [], [], PATIENCE)[0]:
                raise TimeoutError(f"nothing came for {PATIENCE} seconds after: {line}\n{came}")
            came += decoder.decode(os.read(self._read, 65536)).replace("\r", "")
        self._code, self.folder = int(end[1]), Path(end[2])
        return re.sub(r" +$", "", came[: end.start()], flags=re.MULTILINE), self._code

    def _send(self, text: str) -> None:
        assert self._bash.stdin
        self._bash.stdin.write(text.encode())
        self._bash.stdin.flush()

    def close(self) -> None:
        """End the shell."""
        self._bash.communicate()
        os.close(self._read)


def outside() -> dict[str, str]:
    """Return the environment without the one that this Python runs in: a page says itself what it needs."""
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH", "UV")}
    here = str(Path(sys.executable).parent)
    env["PATH"] = os.pathsep.join(part for part in env["PATH"].split(os.pathsep) if part != here)
    return env


def follow(name: str, page: str, shell: Shell) -> int:
    """Do what `page` says; return how many of its commands went otherwise than it shows, each of which is told."""
    wrong = 0
    for step in steps(page):
        if isinstance(step, File):
            path = shell.folder / step.name
            path.write_text(changed(path.read_text(), step.text) if step.change else step.text)
            continue
        began = time.monotonic()
        came, code = shell.type(step.typed)
        typed = " ".join(step.typed.replace("\\\n", "").split())
        print(f"{time.monotonic() - began:6.1f} s  {typed}", flush=True)
        failed = code != 0 and not step.may_fail
        if failed or not agrees(step.shown, came):
            wrong += 1
            lines = difflib.ndiff(step.shown.splitlines(), came.splitlines())
            print(f"{name}:{step.line}: exit code {code}; what is shown (-) and what came (+):", flush=True)
            print("\n".join(line for line in lines if not line.startswith("?")), flush=True)
        if failed:
            sys.exit("nothing is followed beyond a command that failed")
    return wrong


def main(names: list[str]) -> int:
    """Follow the pages called `names`."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        (folder / "optiscope").symlink_to(ROOT)
        shell = Shell(folder, outside())
        try:
            wrong = sum(follow(name, Path(name).read_text(encoding="utf-8"), shell) for name in names)
        finally:
            shell.close()
    print(f"{wrong} of the commands went otherwise than the pages show" if wrong else "everything came as it is shown")
    print(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime:.0f} s of processor time")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
