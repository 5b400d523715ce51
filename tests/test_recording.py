"""A loop that is not the engine's leaves a file like the engine's."""

import json
import math
import warnings

import attrs
import numpy as np
import pytest

import optiscope
from optiscope.cli import main
from optiscope.engine import prepare
from optiscope.errors import FileError, PluginError, UsageError
from optiscope.hooks import create_manager, hookimpl
from optiscope.nn import Quadratic
from optiscope.optim import SGD
from optiscope.params import Parameters
from optiscope.records import RunInfo, Signal
from optiscope.sweep.worker import run_to_file

SHAPES = {"weight": (3, 2), "bias": (2,)}


def info(**changes):
    given = {
        "run_id": "",
        "optimizer": "mine",
        "optimizer_options": {"beta": 0.9},
        "model": "theirs",
        "model_options": {},
        "data": "own",
        "data_digest": "",
        "batch_size": 4,
        "lr": 0.1,
        "seed": 0,
        "reduction": "mean",
        "steps": 6,
        "steps_per_epoch": 3,
        "epochs": 2,
        "train_samples": 12,
        "test_samples": 0,
        "probe_size": 0,
        "parameters": tuple(SHAPES.items()),
        "output": "logits",
        "outputs": 2,
        "class_names": (),
        "config": {},
    }
    return RunInfo(**{**given, **changes})


class Loop:
    """A loop of somebody's own: the gradient of step t is t everywhere, and the parameters follow it."""

    def __init__(self, out, sources=("logits", "grads", "params", "state"), **more):
        self.params, self.grads = Parameters(SHAPES), Parameters(SHAPES)
        self.logits, self.state = np.zeros((4, 2), np.float32), {"m": np.zeros(8)}
        there = {name: lambda name=name: getattr(self, name) for name in sources}
        run = info(**{key: more.pop(key) for key in list(more) if key in attrs.fields_dict(RunInfo)})
        self.recording = optiscope.Recording(out, run, there, **more)
        self.step = 0

    def go(self, steps, loss=1.0):
        for _ in range(steps):
            self.step += 1
            self.logits[...] = self.step
            self.grads.flat[...] = self.step
            self.recording.before_update()
            self.params.flat -= 0.1 * self.grads.flat
            self.recording.after_update(loss=loss, accuracy=0.5, lr=0.1)


def recorder(name, *signals, said=None):
    class Theirs:
        calls = []  # noqa: RUF012 - what every instance was handed

        def signals(self, run):
            return signals

        def record(self, step, quantities):
            self.calls.append((step, sorted(quantities)))
            return said(step, quantities) if said else {signal.name: 1.0 for signal in signals}

    Theirs.name = name
    return Theirs


def host_with(*recorders):
    class Brings:
        @hookimpl
        def optiscope_recorders(self):
            return recorders

    host = create_manager()
    host.register(Brings(), "theirs")
    return host


def test_the_rows_are_what_the_loop_went_through(tmp_path):
    loop = Loop(tmp_path)
    with loop.recording:
        loop.go(3)
        loop.recording.evaluated(val_loss=2.5, val_accuracy=0.25)
        loop.go(3)
    with optiscope.open_run(loop.recording.path) as run:
        assert (run.status, run.n_steps, run.n_epochs) == ("completed", 6, 2)
        steps = np.arange(1, 7)
        np.testing.assert_allclose(run.steps["grad_norm"], np.outer(steps, np.sqrt([6, 2])), rtol=1e-6)
        np.testing.assert_allclose(run.steps["update_norm"], 0.1 * np.outer(steps, np.sqrt([6, 2])), rtol=1e-6)
        np.testing.assert_array_equal(run.steps["logits_median"], steps)
        assert set(run.steps["loss"]) == {1.0}
        assert set(run.steps["lr"]) == {0.1}
        assert not {"last_input_mean", "dlogits_norm"} & set(run.steps)
        np.testing.assert_array_equal(run.epochs["val_loss"], [2.5, np.nan])
        np.testing.assert_array_equal(run.epochs["step"], [3, 6])
        assert run.epochs["histograms"].sum(axis=2).tolist() == [[6, 2], [6, 2]]
        assert (run.epochs["digest"][0] != run.epochs["digest"][1]).any()
        assert run.config["optimizer_options"] == {"beta": 0.9}
        assert {"recorder step", "recorder epoch", "writer"} <= run.observer_time.keys()
        assert run.run_id.startswith("mine-b4-lr0.1-s0-")


def test_it_records_what_the_engine_does(tmp_path):
    """The same run twice: trained by the engine, and by a loop that is recorded."""
    config = optiscope.RunConfig(model="quadratic", kernels="im2col", optimizer="sgd", lr=0.2, steps=120)
    theirs = run_to_file(config, str(tmp_path / "engine"))
    prepared = prepare(config)
    model, optimizer = Quadratic(), SGD(lr=0.2)
    params = model.init(np.random.default_rng(prepared.streams.initial), (1, 1, 1), 1)
    grads = params.zeros()
    sources = {"logits": lambda: params.flat[None].copy(), "grads": lambda: grads, "params": lambda: params}
    with optiscope.Recording(tmp_path, prepared.info, sources) as recording:
        for step in range(1, 121):
            grads.flat[...] = model.curvature * params.flat
            recording.before_update()
            loss = 0.5 * float(grads.flat @ params.flat)
            optimizer.update(params, grads, {}, step)
            recording.after_update(loss=loss, lr=0.2)
    with optiscope.open_run(theirs.path) as expected, optiscope.open_run(recording.path) as found:
        assert set(found.steps) == set(expected.steps)
        for name in ("grad_norm", "update_norm", "loss", "lr"):
            np.testing.assert_allclose(found.steps[name], expected.steps[name], rtol=1e-5, err_msg=name)
        np.testing.assert_array_equal(found.epochs["step"], expected.epochs["step"])


def test_a_folder_of_recordings_is_labelled_and_reported(tmp_path, capsys):
    for seed in (0, 1):
        loop = Loop(tmp_path, seed=seed)
        with loop.recording:
            loop.go(6)
    assert main(["label", str(tmp_path)]) == 0
    assert main(["report", str(tmp_path)]) == 0
    (cell,) = json.loads((tmp_path / "characterization.json").read_text())["cells"]
    assert (cell["optimizer"], cell["model"], [run["seed"] for run in cell["runs"]]) == ("mine", "theirs", [0, 1])
    assert "6 steps of logits and loss are too few" in cell["runs"][0]["why"]
    assert (tmp_path / "report.html").stat().st_size > 0
    capsys.readouterr()
    assert main(["file", "info", str(loop.recording.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps_asked"] == 6


def test_a_folder_of_recordings_is_nothing_that_a_characterization_writes_into(tmp_path, capsys):
    loop = Loop(tmp_path)
    loop.recording.finish()
    assert main(["characterize", "--optimizers", "sgd", "--steps", "1", "--out", str(tmp_path), "--overwrite"]) == 2
    assert "but no grid.json" in capsys.readouterr().err


def test_a_run_that_ends_early_is_cut_to_its_length(tmp_path):
    loop = Loop(tmp_path, steps=1000, epochs=334)
    with loop.recording:
        loop.go(4)
    with optiscope.open_run(loop.recording.path) as run:
        assert (run.status, run.n_steps, run.n_epochs, len(run.h5["step/loss"])) == ("completed", 4, 1, 4)


def test_a_run_that_is_longer_than_announced_goes_on_unrecorded(tmp_path):
    loop = Loop(tmp_path)
    with pytest.warns(RuntimeWarning, match="has room for 6 steps, and more of them are not recorded"):
        loop.go(7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop.go(1)
    assert (loop.recording.result.status, loop.recording.result.steps) == ("completed", 6)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda loop: loop.go(1, loss=math.inf), "the loss is not finite at step 3"),
        (lambda loop: (setattr(loop, "step", math.nan), loop.go(1)), "the gradient is not finite at step 3"),
        (lambda loop: (loop.params.flat.fill(np.inf), loop.go(1)), "a parameter is not finite at step 3"),
    ],
)
def test_what_is_not_finite_ends_the_recording_and_not_the_training(tmp_path, spoil, why):
    loop = Loop(tmp_path)
    with loop.recording:
        loop.go(2)
        spoil(loop)
        loop.recording.after_update(loss=1.0)
        loop.recording.evaluated(val_loss=1.0)
    with optiscope.open_run(loop.recording.path) as run:
        assert (run.status, run.n_steps, run.first_bad_step, run.why) == ("diverged", 3, 3, why)
        assert np.isnan(run.steps["grad_norm"][-1]).all()
    assert optiscope.label(loop.recording.path).verdict == "unstable"


@pytest.mark.parametrize(
    ("error", "status", "why"),
    [(ValueError("no luck"), "failed", "ValueError: no luck"), (KeyboardInterrupt(), "interrupted", "after step 2")],
)
def test_what_the_loop_raises_ends_the_recording_and_travels_on(tmp_path, error, status, why):
    loop = Loop(tmp_path)
    loop.go(2)
    with pytest.raises(type(error)), loop.recording:
        raise error
    with optiscope.open_run(loop.recording.path) as run:
        assert (run.status, run.n_steps) == (status, 2)
        assert why in run.why


def test_a_recorder_takes_part_with_what_can_be_had_and_is_asked_once_a_step(tmp_path):
    both = recorder("both", Signal("a", every=2, needs=("params",)), Signal("b", every="epoch", needs=("loss",)))
    lacks = recorder("lacks", Signal("a", needs=("probe_logits",)))
    partly = recorder("partly", Signal("a", needs=("state",)), Signal("b", needs=("dlogits",)))
    loop = Loop(tmp_path, host=host_with(both, lacks, partly))
    with loop.recording:
        loop.go(6)
    assert both.calls == [(1, ["params"]), (3, ["loss", "params"]), (5, ["params"]), (6, ["loss"])]
    assert lacks.calls == []
    with optiscope.open_run(loop.recording.path) as run:
        assert {
            name: set(rows) - {"step", "epoch"} for name, rows in run.plugins.items() if name != "gradient-angle"
        } == {
            "both": {"a", "b"},
            "partly": {"a"},
        }


def test_a_recorder_cannot_write_to_what_it_is_shown(tmp_path):
    def write(step, quantities):
        for value in (quantities["params"].flat, quantities["state"]["m"], quantities["logits"]):
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 7
        return {"a": 1.0}

    loop = Loop(
        tmp_path, host=host_with(recorder("vandal", Signal("a", needs=("params", "state", "logits")), said=write))
    )
    with loop.recording:
        loop.go(2)


def test_a_recorder_that_raises_is_named(tmp_path):
    loop = Loop(tmp_path, host=host_with(recorder("bad", Signal("a"), said=lambda step, quantities: 1 / 0)))
    with pytest.raises(PluginError, match="recorder 'bad' of plugin 'theirs' failed at step 1"), loop.recording:
        loop.go(1)
    assert loop.recording.result.status == "failed"


def test_what_is_asked_for_wrongly_is_said(tmp_path):
    with pytest.raises(UsageError, match="there is no quantity 'logit': known: loss, "):
        optiscope.Recording(tmp_path, info(), {"logit": list})
    loop = Loop(tmp_path)
    with pytest.raises(FileError, match="another process is writing"):
        Loop(tmp_path, overwrite=True)
    loop.go(1)
    with pytest.raises(UsageError, match="step 1 ends no epoch of 3 steps"):
        loop.recording.evaluated(val_loss=1.0)
    loop.recording.finish()
    with pytest.raises(FileError, match="exists: choose another folder, or ask for it to be overwritten"):
        Loop(tmp_path)
    assert Loop(tmp_path, overwrite=True).recording.path == loop.recording.path


def test_the_name_of_a_run_follows_from_what_it_is(tmp_path):
    first = Loop(tmp_path, sources=()).recording
    again = Loop(tmp_path / "again", sources=(), config={"kernels": "x"}).recording
    other = Loop(tmp_path / "other", sources=(), optimizer_options={"beta": 0.8}).recording
    assert first.run.run_id == again.run.run_id != other.run.run_id
    for recording in (first, again, other):
        recording.finish()
