"""What changed between two characterizations, on cells whose change is known."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optiscope.errors import UsageError
from optiscope.report.changes import Changes, compare_folders

Edit = Callable[[dict[str, Any]], None]


def judged(verdict: str, unstable: int, decided: int, optimizer: str = "sgd", **more: Any) -> dict[str, Any]:
    cell = {"optimizer": optimizer, "options": {}, "batch_size": 50, "lr": 0.1, "reduction": "mean", "model": "m"}
    cell |= {"data": "d", "verdict": verdict, "runs": [], "p_unstable": {"unstable": unstable, "decided": decided}}
    return cell | more


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Changes]:
    def compare(before: list[dict[str, Any]], after: list[dict[str, Any]], lost: dict[str, str] = {}) -> Changes:  # noqa: B006
        for name, cells in (("a", before), ("b", after)):
            (tmp_path / name).mkdir(exist_ok=True)
            document = {"schema_version": 1, "versions": {}, "cells": cells}
            if name == "b":
                document["lost"] = [{"run_id": run_id, "why": why} for run_id, why in lost.items()]
            (tmp_path / name / "characterization.json").write_text(json.dumps(document))
        return compare_folders(tmp_path / "a", tmp_path / "b")

    return compare


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (("stable", 0, 4), ("stable", 0, 4), "same"),
        (("stable", 0, 1), ("unstable", 1, 1), "regression"),
        (("unstable", 1, 1), ("stable", 0, 1), "improvement"),
        (("stable", 0, 4), ("undecided", 1, 4), "changed"),
        (("undecided", 1, 8), ("undecided", 7, 8), "regression"),
        (("undecided", 7, 8), ("undecided", 1, 8), "improvement"),
        (("undecided", 2, 5), ("undecided", 3, 5), "same"),
        (("undecided", 0, 0), ("undecided", 0, 0), "same"),
    ],
)
def test_what_a_change_is_called(
    compared: Callable[..., Changes], before: tuple[str, int, int], after: tuple[str, int, int], kind: str
) -> None:
    found = compared([judged(*before)], [judged(*after)])
    assert [cell.kind for cell in found.cells] == [kind]
    assert len(found.regressions) == (kind == "regression")


def runs(*statuses: str, optimizer: str = "sgd") -> list[dict[str, Any]]:
    return [
        {"run_id": f"{optimizer}-s{seed}", "seed": seed, "status": status, "why": f"it is {status}", "path": "gone.h5"}
        for seed, status in enumerate(statuses)
    ]


DONE, FAILED = ("completed",) * 4, ("failed",) * 4


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (judged("stable", 0, 4, runs=runs(*DONE)), judged("undecided", 0, 0, runs=runs(*FAILED)), "regression"),
        (judged("unstable", 4, 4, runs=runs(*DONE)), judged("undecided", 0, 0, runs=runs(*FAILED)), "regression"),
        (judged("undecided", 2, 4, runs=runs(*DONE)), judged("undecided", 0, 0, runs=runs(*FAILED)), "regression"),
        (judged("stable", 0, 4, runs=runs(*DONE)), judged("stable", 0, 4, runs=runs(*DONE, "failed")), "regression"),
        (judged("undecided", 0, 0, runs=runs(*FAILED)), judged("undecided", 0, 0, runs=runs(*FAILED)), "same"),
        (judged("undecided", 0, 0, runs=runs(*FAILED)), judged("stable", 0, 4, runs=runs(*DONE)), "changed"),
        (judged("stable", 0, 4, runs=runs(*DONE)), judged("undecided", 0, 0, runs=runs("interrupted")), "changed"),
    ],
)
def test_a_seed_that_newly_failed_is_a_regression_whatever_the_verdict(
    compared: Callable[..., Changes], before: dict[str, Any], after: dict[str, Any], kind: str
) -> None:
    (cell,) = compared([before], [after]).cells
    assert cell.kind == kind
    assert (cell.why.endswith(": it is failed")) == (kind == "regression")


def test_the_first_that_failed_says_why_and_how_many_did(compared: Callable[..., Changes]) -> None:
    before = judged("undecided", 0, 2, runs=runs("failed", "completed", "completed"))
    after = judged("undecided", 0, 0, runs=runs("failed", "completed", "failed"))
    (cell,) = compared([before], [after]).cells
    assert (cell.failed_before, cell.failed_after, cell.why) == ((1, 3), (2, 3), "seed 2: it is failed")


def test_a_run_that_was_lost_is_a_regression_whether_it_left_a_file_or_not(compared: Callable[..., Changes]) -> None:
    before = judged("stable", 0, 4, runs=runs(*DONE))
    after = judged("undecided", 0, 2, runs=runs("completed", "completed", "running"))
    (cell,) = compared([before], [after], {"sgd-s2": "killed", "sgd-s3": "never began"}).cells
    assert (cell.kind, cell.failed_before, cell.failed_after) == ("regression", (0, 4), (2, 4))
    (cell,) = compared([before], [after], {"sgd-s3": "never began"}).cells
    assert (cell.kind, cell.failed_after, cell.why) == ("regression", (1, 4), "seed 3: never began")
    assert compared([before], [after]).cells[0].kind == "changed"


def test_a_cell_whose_runs_were_all_lost_is_not_just_missing(compared: Callable[..., Changes]) -> None:
    before = [judged("stable", 0, 4, each, runs=runs(*DONE, optimizer=each)) for each in ("sgd", "adam")]
    found = compared(before, before[:1], {f"adam-s{seed}": "killed" for seed in range(4)} | {"else": "killed too"})
    assert [(cell.kind, cell.after) for cell in found.cells] == [("same", "stable"), ("regression", "lost")]
    assert (found.cells[1].failed_after, found.cells[1].why) == ((4, 4), "seed 0: killed")
    assert (found.only_before, found.lost) == ((), ("else: killed too",))
    found = compared(before, before[:1])
    assert (len(found.cells), found.only_before, found.regressions) == (1, ("adam, batch 50, lr 0.1, mean",), ())


def test_what_came_to_no_end_is_left_out_of_loss_and_accuracy(
    study: Path, make_study: Callable[..., Path], tmp_path: Path
) -> None:
    make_study(tmp_path, [("adam", 100, ["stable", "lost", "unstable"], "undecided")])
    (cell,) = compare_folders(study, tmp_path).cells
    assert cell.loss is not None
    assert (cell.loss.seeds, cell.loss.lost) == (1, 1)
    assert (cell.kind, cell.failed_after, cell.why) == ("regression", (1, 3), "seed 1: the run has not ended")


def test_a_rise_must_stand_out_among_all_cells(compared: Callable[..., Changes]) -> None:
    """p = 232 / 11440 by counting: small enough for one comparison, too large for the least of twenty."""
    before, after = judged("undecided", 1, 8), judged("undecided", 6, 8)
    assert compared([before], [after]).regressions
    others = [judged("stable", 0, 8, lr=lr) for lr in range(1, 20)]
    found = compared([before, *others], [after, *others])
    assert found.cells[0].p_value == pytest.approx(232 / 11440)
    assert not found.regressions


def test_cells_of_one_side_are_named(compared: Callable[..., Changes]) -> None:
    found = compared([judged("stable", 0, 4), judged("stable", 0, 4, lr=1)], [judged("stable", 0, 4, lr=1, why="x")])
    assert [cell.name for cell in found.cells] == ["sgd, batch 50, lr 1, mean"]
    assert (found.only_before, found.only_after) == (("sgd, batch 50, lr 0.1, mean",), ())


@pytest.mark.parametrize(
    ("mine", "theirs", "matched"),
    [
        ({"beta": 0.9}, {"beta": 0.9}, True),
        ({"beta": 0.9}, {"beta": 0.9, "new": 1}, True),
        ({"beta": 0.9, "old": 1}, {"beta": 0.9}, True),
        ({"beta": 0.9}, {"beta": 0.8}, False),
    ],
)
def test_options_that_only_one_side_knows_do_not_part_a_cell(
    compared: Callable[..., Changes], mine: dict[str, Any], theirs: dict[str, Any], matched: bool
) -> None:
    same = judged("stable", 0, 4, "adam")
    found = compared([judged("stable", 0, 4, options=mine), same], [judged("stable", 0, 4, options=theirs), same])
    assert len(found.cells) == 1 + matched


def test_of_several_cells_the_one_with_the_same_options_is_taken(compared: Callable[..., Changes]) -> None:
    old = [judged("stable", 0, 4, options={"a": 1})]
    new = [judged("unstable", 4, 4, options={"a": 1, "b": 2}), judged("stable", 0, 4, options={"a": 1})]
    found = compared(old, new)
    assert [cell.after for cell in found.cells] == ["stable"]
    assert found.only_after == ("sgd(b=2), batch 50, lr 0.1, mean",)


def test_nothing_in_common_is_refused(compared: Callable[..., Changes]) -> None:
    with pytest.raises(UsageError, match="have no cell in common"):
        compared([judged("stable", 0, 4)], [judged("stable", 0, 4, "adam")])


def test_a_folder_is_the_same_as_itself(study: Path) -> None:
    found = compare_folders(study, study)
    assert {cell.kind for cell in found.cells} == {"same"}
    assert (found.only_before, found.only_after, found.differs) == ((), (), ())
    adam = next(cell for cell in found.cells if cell.name.startswith("adam"))
    assert adam.loss is not None
    assert (adam.loss.mean, adam.loss.low, adam.loss.high, adam.loss.seeds, adam.loss.lost) == (0, 0, 0, 2, 1)
    assert json.loads(json.dumps(found.plain(), allow_nan=False))["regressions"] == 0


def test_loss_is_compared_seed_by_seed(study: Path, tmp_path: Path) -> None:
    """In the other folder the seeds have changed places: run by run the losses differ, and their mean does not."""
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    document = json.loads((tmp_path / "characterization.json").read_text())
    runs = document["cells"][2]["runs"]
    runs[0]["path"], runs[1]["path"] = runs[1]["path"], runs[0]["path"]
    (tmp_path / "characterization.json").write_text(json.dumps(document))
    loss = compare_folders(study, tmp_path).cells[2].loss
    assert loss is not None
    assert loss.mean == pytest.approx(0, abs=1e-12)
    assert loss.low is not None
    assert loss.low < -1e-4
    assert not loss.clear


def test_what_else_differs_is_named(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    document = json.loads((tmp_path / "characterization.json").read_text())
    document["cells"][0]["options"] = {"momentum": 0.5}
    (tmp_path / "characterization.json").write_text(json.dumps(document))
    assert compare_folders(study, tmp_path).differs == ("option momentum: none before, 0.5 after",)


def test_a_run_file_that_cannot_be_read_is_named(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    path = next((tmp_path / "runs").glob("adam*.h5"))
    path.write_text("damaged")
    (why,) = compare_folders(study, tmp_path).unread
    assert str(path) in why
