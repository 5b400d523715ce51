"""characterization.json: what is said about a whole grid, as one document.

Its schema is a promise (`schema_version`): keys may be added, none changes its meaning. What is not a finite number
is null.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from optiscope.analysis import Alarm, Finding
from optiscope.errors import FileError, UsageError
from optiscope.labels.cells import Cell, Probability
from optiscope.labels.verdict import RunVerdict
from optiscope.whole import write_whole

SCHEMA_VERSION = 1
FILE_NAME = "characterization.json"
_EVIDENCE = ("name", "rule_version", "statistic", "threshold", "result", "why")


@attrs.frozen(kw_only=True)
class Characterization:
    """The cells of a grid, and the versions of what judged them.

    `unreadable_files` maps the path of a file that is in no cell, because it cannot be read as a run, to one sentence
    of why, which begins with the path. `lost` maps the `run_id` of a run that came to no end, because its worker failed
    and did so again when it was tried once more, to why.
    One that was read back holds of each finding what the document holds: name, rule version, statistic, threshold,
    result, why, and its alarms.
    """

    cells: tuple[Cell, ...]
    versions: Mapping[str, str]
    unreadable_files: Mapping[str, str] = attrs.field(factory=dict)
    lost: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """One sentence about each file that could not be read."""
        return tuple(self.unreadable_files.values())

    def to_json(self) -> str:
        """Return the document as text."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "versions": dict(self.versions),
            "seeds": sum(cell.seeds for cell in self.cells),
            "cells": [_cell_to_plain(cell) for cell in self.cells],
            "unreadable": [{"path": path, "why": why} for path, why in self.unreadable_files.items()],
            "lost": [{"run_id": run_id, "why": why} for run_id, why in self.lost.items()],
        }
        return json.dumps(finite(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the document, whole or not at all, and return its path; in a folder it is characterization.json."""
        path = _document(path)
        write_whole(path, self.to_json())
        return path

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Characterization:
        """Read the document, or the one in a folder; keys that this version does not know are passed over.

        Errors are those of `read_document`.
        """
        document = read_document(path)
        try:
            return cls(
                cells=tuple(map(_cell_from_plain, document["cells"])),
                versions=document["versions"],
                unreadable_files={each["path"]: each["why"] for each in document.get("unreadable", ())},
                lost={each["run_id"]: each["why"] for each in document.get("lost", ())},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(_document(path), error) from error


def read_document(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Return the document, or the one in a folder, as `json` reads it.

    UsageError where there is none, FileError where it is damaged or newer than this optiscope.
    """
    path = _document(path)
    try:
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version, cells = document["schema_version"], document["cells"]
        if version > SCHEMA_VERSION:
            raise FileError(
                f"{path} has schema version {version}, newer than {SCHEMA_VERSION}: "
                "upgrade optiscope, or write it anew with 'optiscope label'"
            )
        if not isinstance(cells, list):
            raise TypeError("its cells are no list")
    except FileNotFoundError:
        raise UsageError(_missing(path)) from None
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}): 'optiscope label' writes it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    return document


def _missing(path: Path) -> str:
    if path.name != FILE_NAME:
        return f"there is no {path}: name a folder that 'optiscope characterize --out' wrote"
    if any(path.parent.glob("runs/*.h5")):
        return f"the runs in {path.parent} have not been judged: 'optiscope label {path.parent}' does it"
    if parts := sorted(path.parent.glob(f"*/{path.name}")):
        return f"{path.parent} holds no {path.name}, but {parts[0].parent} does: name that folder"
    return f"{path.parent} holds no {path.name}: name a folder that 'optiscope characterize --out' wrote"


def _damaged(path: Path, error: Exception) -> FileError:
    return FileError(f"{path} is damaged ({error}): write it anew with 'optiscope label'")


def _document(path: str | os.PathLike[str]) -> Path:
    return Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)


def _cell_to_plain(cell: Cell) -> dict[str, Any]:
    plain = {field.name: getattr(cell, field.name) for field in attrs.fields(Cell) if field.name != "runs"}
    plain["options"] = dict(cell.options)
    plain["p_unstable"] = attrs.asdict(cell.p_unstable)
    plain["seeds"] = cell.seeds
    plain["runs"] = [_run_to_plain(run) for run in cell.runs]
    return plain


def run_to_plain(run: RunVerdict) -> dict[str, Any]:
    """Return a run as it stands in the document, for JSON: null for numbers that are not finite."""
    plain: dict[str, Any] = finite(_run_to_plain(run))
    return plain


def _run_to_plain(run: RunVerdict) -> dict[str, Any]:
    plain = {field.name: getattr(run, field.name) for field in attrs.fields(RunVerdict) if field.name != "findings"}
    plain["analyzers"] = [
        {**{key: getattr(finding, key) for key in _EVIDENCE}, "alarms": [attrs.asdict(each) for each in finding.alarms]}
        for finding in run.findings
    ]
    return plain


def _cell_from_plain(plain: Mapping[str, Any]) -> Cell:
    runs = tuple(map(_run_from_plain, plain["runs"]))
    p = Probability(**_known(Probability, plain["p_unstable"]))
    return Cell(**{**_known(Cell, plain), "p_unstable": p, "runs": runs})


def _run_from_plain(plain: Mapping[str, Any]) -> RunVerdict:
    findings = tuple(map(_finding_from_plain, plain["analyzers"]))
    return RunVerdict(**{**_known(RunVerdict, plain), "findings": findings})


def _finding_from_plain(plain: Mapping[str, Any]) -> Finding:
    alarms = [Alarm(**_known(Alarm, {**alarm, "steps": tuple(alarm["steps"])})) for alarm in plain.get("alarms", ())]
    return Finding(**{key: plain[key] for key in _EVIDENCE}, alarms=tuple(alarms))


def _known(kind: type[attrs.AttrsInstance], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return of `plain` what `kind` has a field for."""
    return {key: value for key, value in plain.items() if key in attrs.fields_dict(kind)}


def finite(value: Any) -> Any:
    """Return `value` with null for every number that JSON cannot hold, and NumPy scalars as plain ones."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
