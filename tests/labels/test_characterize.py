"""From recorded runs to verdicts, with the built-in analyzers."""

import json

import attrs
import h5py
import numpy as np
import pytest

import optiscope
from optiscope.analysis import Finding
from optiscope.builtin.analyzers import ANALYZERS
from optiscope.engine import train
from optiscope.errors import FileError, UsageError
from optiscope.hooks import create_manager
from optiscope.labels import label_folder, label_run
from optiscope.records import RunInfo, RunResult
from optiscope.storage import RunWriter, schema
from optiscope.storage.reader import Rows


@pytest.fixture
def analyzers():
    return [analyzer() for analyzer in ANALYZERS]


def result_of(verdict, name):
    return next(finding for finding in verdict.findings if finding.name == name)


def test_a_healthy_run_is_stable(make_run, analyzers):
    verdict = label_run(make_run(), analyzers)
    assert (verdict.verdict, verdict.outcome, verdict.signal) == ("stable", "trained", "steady")
    passed = ("finite", "collapse", "outcome", "envelope", "spike", "variance", "level", "period-2")
    assert all(result_of(verdict, name).result == "pass" for name in passed)


def test_a_dead_network_is_failed_and_not_stable(make_run, steps, analyzers):
    rng = np.random.default_rng(1)
    steps["loss"] = np.log(10) + 0.01 * rng.standard_normal(400)
    steps["logits_q05"] = np.full(400, -0.1)
    steps["logits_iqr"] = np.where(np.arange(400) < 10, 1.0, 0.05)
    verdict = label_run(make_run(steps), analyzers)
    assert (verdict.verdict, verdict.outcome) == ("unstable", "failed: collapsed")


def test_a_run_that_hit_a_number_that_is_none_is_unstable(make_run, steps, analyzers):
    cut = {name: values[:120].copy() for name, values in steps.items()}
    cut["loss"][-1] = np.nan
    verdict = label_run(make_run(cut, status="diverged"), analyzers)
    assert (verdict.verdict, verdict.outcome, verdict.first_step) == ("unstable", "failed: non-finite", 120)


def test_a_run_that_diverged_early_is_unstable(make_run, steps, analyzers):
    cut = {name: values[:3].copy() for name, values in steps.items()}
    assert label_run(make_run(cut, status="diverged"), analyzers).verdict == "unstable"


def test_a_loss_that_grows_without_end_is_unstable(make_run, steps, analyzers):
    steps["loss"] = 2.3 * np.exp(np.arange(400) / 5)
    assert label_run(make_run(steps), analyzers).outcome == "failed: diverged"


def test_a_spike_in_the_signal_is_unstable_where_it_sets_the_loss_back(make_run, steps, analyzers):
    steps["logits_q05"][250] *= 4
    alone = label_run(make_run(steps), analyzers)
    assert (alone.verdict, alone.signal) == ("stable", "rough: X (harmless)")
    steps["loss"][250:270] += 3
    assert label_run(make_run(steps), analyzers).verdict == "unstable"


def test_a_short_run_is_undecided(make_run, steps, analyzers):
    cut = {name: values[:240] for name, values in steps.items()}
    verdict = label_run(make_run(cut), analyzers)
    assert (verdict.verdict, verdict.outcome, verdict.signal) == ("undecided", "trained", "undecided")
    assert "too few" in verdict.why


def test_a_run_without_the_series_is_undecided(make_run, analyzers):
    verdict = label_run(make_run({"loss": np.ones(0)}), analyzers)
    assert verdict.verdict == "undecided"
    assert {finding.result for finding in verdict.findings if finding.name != "dynamics"} == {"undecided"}


@attrs.frozen
class Broken:
    name = "broken"
    rule_version = "3"
    axis = "report"
    required: bool = False
    returns: object = None
    raises: type[BaseException] = ValueError

    def analyze(self, run):
        if self.returns is None:
            raise self.raises("one\nand two")
        return self.returns


@pytest.mark.parametrize("error", [ValueError, SystemExit])
@pytest.mark.parametrize(("required", "verdict"), [(False, "stable"), (True, "undecided")])
def test_an_analyzer_that_raises_is_disabled_and_recorded(make_run, analyzers, required, verdict, error):
    found = label_run(make_run(), [Broken(required, raises=error), *analyzers])
    broken = result_of(found, "broken")
    assert (broken.result, broken.rule_version) == ("error", "3")
    assert broken.why == f"analyzer 'broken' was disabled: {error.__name__}: one and two"
    assert found.verdict == verdict
    assert result_of(found, "outcome").result == "pass"


def test_what_is_no_finding_is_an_error_too(make_run):
    broken = label_run(make_run(), [Broken(returns="steady")]).findings[0]
    assert broken.result == "error"
    assert "str" in broken.why


class Bare:
    name = "bare"

    def analyze(self, run):
        return Finding(name="bare", rule_version="1", result=self.result, why="bare")

    def __init__(self, result):
        self.result = result


@pytest.mark.parametrize("result", ["pass", "alarm", "fail"])
def test_a_name_and_analyze_make_an_analyzer_that_is_shown_and_not_judged(make_run, analyzers, result):
    found = label_run(make_run(), [*analyzers, Bare(result)])
    assert (found.verdict, found.outcome, found.signal) == ("stable", "trained", "steady")
    assert result_of(found, "bare").result == result


def test_one_without_a_version_that_raises_is_recorded_as_unversioned(make_run):
    broken = label_run(make_run(), [Bare("no result")]).findings[0]
    assert (broken.result, broken.rule_version) == ("error", "unversioned")


@pytest.mark.parametrize("axis", ["singal", None, ["signal"]])
def test_an_unknown_axis_is_an_error(make_run, analyzers, axis):
    odd = Bare("pass")
    odd.axis = axis
    found = label_run(make_run(), [*analyzers, odd])
    assert found.verdict == "stable"
    assert result_of(found, "bare").result == "error"
    assert f"its axis is {axis!r}, not one of outcome, dynamics, signal, report" in result_of(found, "bare").why
    odd.required = True
    assert label_run(make_run(), [*analyzers, odd]).verdict == "undecided"


def test_a_keyboard_interrupt_is_not_a_finding(make_run):
    class Interrupted(Broken):
        def analyze(self, run):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_run(make_run(), [Interrupted()])


INFO = RunInfo(
    run_id="adam-0",
    optimizer="adam",
    optimizer_options={"beta1": 0.9},
    model="small-cnn",
    model_options={},
    data="synthetic",
    data_digest="d" * 64,
    batch_size=100,
    lr=1e-3,
    seed=0,
    reduction="mean",
    steps=400,
    steps_per_epoch=50,
    epochs=8,
    train_samples=5000,
    test_samples=500,
    probe_size=256,
    parameters=(("a", (2,)), ("b", (2,)), ("c", (2,))),
    output="logits",
    outputs=10,
    class_names=tuple("abcdefghij"),
    config={},
)


def record(folder, info, steps, status="completed"):
    signals = {"step": schema.CORE["step"](info)}
    writer = RunWriter.create(folder / "runs" / f"{info.run_id}.h5", info, signals)
    for step in range(1, info.steps + 1):
        values = {signal.name: steps.get(signal.name, np.zeros(400))[step - 1] for signal in signals["step"]}
        facts = {"loss": steps["loss"][step - 1], "accuracy": 0.5, "lr": 1e-3, "wall_time": 0.1 * step}
        writer.write_step(step, facts, {"step": values})
    if status is None:
        writer.close()
    else:
        writer.finish(RunResult(run_id=info.run_id, status=status, steps=info.steps, digest="ab" * 32))


def test_a_folder_of_run_files_becomes_a_characterization(tmp_path, make_run, steps, analyzers):
    (tmp_path / "runs").mkdir()
    record(tmp_path, INFO, steps)
    dead = steps | {"loss": np.full(400, 2.3), "logits_iqr": np.repeat([1.0, 0.1], [10, 390])}
    record(tmp_path, attrs.evolve(INFO, run_id="sgd-0", optimizer="sgd"), dead)
    found = label_folder(tmp_path, analyzers)
    assert [(cell.optimizer, cell.verdict, cell.confidence) for cell in found.cells] == [
        ("adam", "stable", "one seed"),
        ("sgd", "unstable", "one seed"),
    ]
    assert found.cells[0].runs[0].path == "runs/adam-0.h5"
    assert found.cells[0].options == {"beta1": 0.9}
    assert set(found.versions) == {"optiscope", "numpy", "python"}


def test_cells_come_in_the_order_of_the_optimizers_that_is_given(tmp_path, steps, analyzers):
    for name in ("adam", "sgd"):
        record(tmp_path, attrs.evolve(INFO, run_id=f"{name}-0", optimizer=name), steps)
    assert [cell.optimizer for cell in label_folder(tmp_path, [], order=("sgd", "adam")).cells] == ["sgd", "adam"]
    assert [cell.optimizer for cell in label_folder(tmp_path, []).cells] == ["adam", "sgd"]


def test_verdicts_that_are_known_are_not_formed_again(tmp_path, steps):
    for name in ("adam", "sgd"):
        record(tmp_path, attrs.evolve(INFO, run_id=f"{name}-0", optimizer=name), steps)
    known = label_folder(tmp_path, []).cells[0].runs[0]
    assert known.run_id == "adam-0"
    found = label_folder(tmp_path, [], known={"adam-0": attrs.evolve(known, why="it was known", path="elsewhere")})
    (adam,), (sgd,) = (cell.runs for cell in found.cells)
    assert (adam.why, adam.path) == ("it was known", "runs/adam-0.h5")
    assert sgd.why != adam.why


def foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


def truncated(path):
    path.write_bytes(path.read_bytes()[:3000])


def without_config(path):
    with h5py.File(path, "r+") as file:
        del file.attrs["config_json"]


def without_batch_size(path):
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["config_json"])
        del config["batch_size"]
        file.attrs["config_json"] = json.dumps(config)


@pytest.mark.parametrize("damage", [foreign, truncated, without_config, without_batch_size])
def test_a_file_that_cannot_be_read_is_named_and_stops_no_other(tmp_path, steps, analyzers, damage):
    record(tmp_path, INFO, steps)
    record(tmp_path, attrs.evolve(INFO, run_id="adam-1", seed=1), steps)
    damage(tmp_path / "runs" / "adam-0.h5")
    found = label_folder(tmp_path, analyzers)
    assert [[run.run_id for run in cell.runs] for cell in found.cells] == [["adam-1"]]
    assert list(found.unreadable_files) == ["runs/adam-0.h5"]
    (sentence,) = found.unreadable
    assert sentence.startswith("runs/adam-0.h5 ")
    assert str(tmp_path) not in sentence


def test_where_no_file_can_be_read_that_is_said(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "one.h5").write_bytes(b"not HDF5")
    with pytest.raises(FileError, match=r"no run file in .*runs can be read: runs/one\.h5 is not an HDF5 file"):
        label_folder(tmp_path, [])


def test_series_that_cannot_be_read_leave_the_run_undecided_in_its_cell(tmp_path, steps, analyzers, monkeypatch):
    steps["logits_q05"][250] *= 4
    record(tmp_path, INFO, steps)
    read = Rows.__getitem__

    def damaged(self, name):
        if name == "loss":
            raise OSError("Can't read data (inflate() failed)")
        return read(self, name)

    monkeypatch.setattr(Rows, "__getitem__", damaged)
    found = label_folder(tmp_path, analyzers)
    (run,) = found.cells[0].runs
    assert (run.verdict, run.signal, found.unreadable) == ("undecided", "rough: X", ())
    results = {finding.name: finding.result for finding in run.findings}
    assert {name for name, result in results.items() if result == "error"} == {"finite", "collapse", "outcome"}
    assert results["envelope"] == "alarm"


def test_a_folder_without_run_files_says_so(tmp_path):
    with pytest.raises(UsageError, match="no run files"):
        label_folder(tmp_path, [])


def test_findings_are_frozen_and_know_their_words():
    with pytest.raises(ValueError, match="result"):
        Finding(name="x", rule_version="1", result="perhaps", why="")


def test_a_run_is_judged_by_all_installed_analyzers_whether_opened_or_by_its_path(tmp_path):
    path = tmp_path / "run.h5"
    config = optiscope.RunConfig(model="quadratic", lr=3.0, steps=200)
    train(config, open_sink=lambda info, signals: RunWriter.create(path, info, signals))
    verdict = optiscope.label(path)
    assert (verdict.verdict, verdict.outcome) == ("unstable", "failed: non-finite")
    assert {finding.name for finding in verdict.findings} == set(create_manager().pieces("analyzers"))
    with optiscope.open_run(path) as run:
        assert optiscope.label(run) == verdict


def test_a_run_that_diverged_is_explained_by_its_own_sentence(tmp_path):
    path = tmp_path / "run.h5"
    config = optiscope.RunConfig(model="quadratic", lr=1e30, steps=9)
    train(config, open_sink=lambda info, signals: RunWriter.create(path, info, signals))
    verdict = optiscope.label(path)
    assert (verdict.why, verdict.first_step) == ("the loss is not finite at step 2", 2)


def test_a_run_that_was_lost_says_why_and_the_others_do_not(tmp_path, steps, analyzers):
    record(tmp_path, INFO, steps, status=None)
    record(tmp_path, attrs.evolve(INFO, run_id="adam-1", seed=1), steps)
    lost = {INFO.run_id: "its worker died (SIGKILL)", "without a file": "it ran out of memory"}
    found = label_folder(tmp_path, analyzers, lost=lost)
    (first, second) = found.cells[0].runs
    assert (first.verdict, first.why) == ("undecided", "the run has not ended: its worker died (SIGKILL)")
    assert "died" not in second.why
    assert found.lost == lost
