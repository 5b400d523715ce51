"""Fixtures of the command line's tests: a folder of one's own, the command itself, and a sweep that only pretends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from optiscope import report, sweep
from optiscope.cli import main
from optiscope.config import GridConfig
from optiscope.hooks.discovery import DISABLE
from optiscope.sweep.progress import CellProgress, GridProgress


@attrs.frozen
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with an environment that says nothing about terminals."""
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "OPTISCOPE_TRACEBACK", DISABLE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def optiscope(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `optiscope ARGUMENTS` in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture
def refused(optiscope: Command, folder: Path) -> Callable[..., str]:
    """Run a command that must be refused; return the sentence. Nothing may be written and no traceback shown."""

    def run(*arguments: object) -> str:
        before = sorted(folder.rglob("*"))
        outcome = optiscope(*arguments)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        assert outcome.err.count("\n") == 1, outcome.err
        assert outcome.err.startswith("optiscope: ")
        assert "Traceback" not in outcome.err
        assert "unexpected" not in outcome.err or "unexpected argument" in outcome.err
        assert sorted(folder.rglob("*")) == before
        return outcome.err.removeprefix("optiscope: ").strip()

    return run


WHY = "envelope: 37 of 340 steps lie outside the band about the running median, and the batch minimum falls below it"


def cell(optimizer: str, batch_size: int, verdict: str = "unstable", seeds: int = 1, **fields: Any) -> dict[str, Any]:
    base = {"status": "completed", "verdict": verdict, "why": WHY}
    runs = [base | {"run_id": f"r{seed}", "seed": seed} for seed in range(seeds)]
    counts = {"unstable": seeds, "decided": seeds, "undecided": 0, "mean": 0.5, "low": 0.1, "high": 0.9}
    base = {"optimizer": optimizer, "batch_size": batch_size, "lr": 0.01, "reduction": "mean", "verdict": verdict}
    return base | {"p_unstable": counts, "runs": runs} | fields


class FakeSweep:
    """Stands for `optiscope.sweep.characterize`: keeps what it was asked for, makes the folder, tells of progress."""

    def __init__(self) -> None:
        self.grid: GridConfig | None = None
        self.asked: dict[str, Any] = {}
        self.events: Sequence[str] = ()
        self.error: BaseException | None = None
        self.makes_folder = True

    def __call__(
        self, grid: GridConfig, out: Path, *, on_progress: Callable[[GridProgress], None], **asked: Any
    ) -> None:
        self.grid, self.asked = grid, asked | {"out": out}
        if self.makes_folder:
            out.mkdir()
        cells = [CellProgress(optimizer=name, batch_size=50, lr=0.01, runs=1, steps=20) for name in grid.optimizers]
        for number in range(len(cells)):
            cells[number] = attrs.evolve(cells[number], finished=1, step=20, loss=0.5, status="completed")
            on_progress(GridProgress(cells=tuple(cells), elapsed=1.0, remaining=2.0, events=tuple(self.events)))
            if self.error:
                raise self.error
        document = {"schema_version": 1, "cells": [cell(name, 50) for name in grid.optimizers]}
        (out / "characterization.json").write_text(json.dumps(document))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSweep:
    pretend = FakeSweep()
    monkeypatch.setattr(sweep, "characterize", pretend)
    monkeypatch.setattr(report, "write_report", lambda out: out / "report.html")
    return pretend


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path of `python` and `program`: packages that lie in it, with their dist-info, are installed."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def python(site: Path) -> Command:
    """Run Python with arguments."""

    def run(*arguments: object, cwd: Path | None = None) -> Outcome:
        command = [sys.executable, *map(str, arguments)]
        env = {**os.environ, "PYTHONPATH": str(site)}
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module")
def program(python: Command) -> Command:
    """Run `optiscope ARGUMENTS` as a program of its own."""
    code = "import sys; from optiscope.cli import main; sys.exit(main())"
    return lambda *arguments, **where: python("-c", code, *arguments, **where)
