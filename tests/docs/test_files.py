"""docs/files.md names every file of a folder, and every key of characterization.json."""

import json
import re
from pathlib import Path

import attrs
import pytest

from optiscope.analysis import Alarm, Finding
from optiscope.labels import Characterization
from optiscope.labels.cells import Cell, Probability
from optiscope.labels.reproduction import FILE_NAME as REPRODUCTION
from optiscope.labels.verdict import RunVerdict
from optiscope.sweep.folder import GRID, PAGES, RESULTS

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
FILES, DOCUMENT = PAGE.split("\n## characterization.json\n")
NAMES = {name.split("/")[0].replace("*", "NAME") for name in (GRID, *RESULTS, *PAGES, REPRODUCTION)}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_file_has_its_place(name):
    assert re.search(rf"^\|.* ?`{re.escape(name)}/?`[ ,].*\|", FILES, re.MULTILINE)


def test_every_key_of_the_document_is_there_and_no_other():
    finding = Finding(
        name="spike",
        rule_version="1",
        result="alarm",
        why="",
        alarms=(Alarm(name="spike", statistic=9.0, threshold=4.0, p_value=None, steps=(3, 4)),),
    )
    words = {field.name: "" for field in attrs.fields(RunVerdict)}
    run = RunVerdict(**{**words, "findings": (finding,)})
    cell = Cell(
        **{field.name: "" for field in attrs.fields(Cell)}
        | {"options": {}, "p_unstable": Probability.of(1, 1), "runs": (run,)}
    )
    document = Characterization(cells=(cell,), versions={}, unreadable_files={"a": "b"}, lost={"c": "d"}).to_json()
    keys = set(re.findall(r'"(\w+)":', document))
    rows = "".join(line for line in DOCUMENT.splitlines() if line.startswith("|"))
    words_of_values = {"stable", "unstable", "completed", "diverged", "failed", "interrupted", "running", "OUT"}
    assert set(re.findall(r"`(\w+)`", rows)) - words_of_values | {"unstable"} == keys
    assert f"`schema_version` is {json.loads(document)['schema_version']}." in DOCUMENT
