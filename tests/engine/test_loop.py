"""The loop, seen from outside: order of the hooks, bits, ends of runs. The images are few and the model is small."""

import math
from types import SimpleNamespace

import attrs
import numpy as np
import pytest

from optiscope.config import RunConfig
from optiscope.engine import prepare, train
from optiscope.errors import FileError, PluginError
from optiscope.hooks import create_manager, hookimpl
from optiscope.nn import Quadratic
from optiscope.optim import SGD, Optimizer
from optiscope.records import QUANTITIES, Signal
from optiscope.storage import RunWriter, open_run

SMALL = {"synthetic": {"train": 64, "test": 20}}


def small(**changes):
    return RunConfig(**{"batch_size": 16, "steps": 6, "options": SMALL, **changes})


class Sink:
    """Keeps what it is given, in order."""

    def __init__(self):
        self.steps, self.epochs, self.checkpoints, self.result, self.closed, self.path = [], [], [], None, 0, None
        self.kept = None

    def open(self, info, signals):
        self.info, self.signals = info, signals
        return self

    def write_step(self, step, facts, recorded):
        self.steps.append((step, dict(facts), recorded))

    def write_epoch(self, record, recorded):
        self.epochs.append((record, recorded))

    def keep(self, checkpoint):
        self.checkpoints.append(checkpoint)

    def finish(self, result):
        self.result = result

    def close(self):
        self.closed += 1


class Everything:
    """Observes all there is, keeps the order, and tries to write into whatever it is shown."""

    def __init__(self):
        self.calls = []

    def _scribble(self, *arrays):
        for array in arrays:
            with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
                array[...] = 7
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True

    @hookimpl
    def on_run_start(self, run):
        self.calls.append("on_run_start")

    @hookimpl
    def on_forward(self, run, step, logits, loss):
        self._scribble(logits)
        self.calls.append(("on_forward", step))

    @hookimpl
    def on_backward(self, run, step, grads):
        self._scribble(grads.flat, *grads.values())
        self.calls.append(("on_backward", step))

    @hookimpl
    def on_step(self, run, step, params, state):
        self._scribble(params.flat, *params.values(), *state.values())
        self.calls.append(("on_step", step))

    @hookimpl
    def on_epoch_end(self, run, record):
        self.calls.append(("on_epoch_end", record.epoch))

    @hookimpl
    def on_run_end(self, run, result):
        self.calls.append(("on_run_end", result.status))

    @hookimpl
    def on_run_error(self, run, error):
        self.calls.append(("on_run_error", str(error)))


def brings(kind, piece, **hooks):
    """Return a plugin object that brings one piece."""
    namespace = {f"optiscope_{kind}": hookimpl(lambda self: [piece])}
    return type("Plugin", (), namespace)()


def host_with(*plugins, block=()):
    host = create_manager(block=block)
    for index, plugin in enumerate(plugins):
        host.register(plugin, f"test-{index}")
    return host


def test_hooks_are_called_in_their_order():
    watcher = Everything()
    train(small(steps=6), host_with(watcher))
    step = [("on_forward", 0), ("on_backward", 0), ("on_step", 0)]
    expected = ["on_run_start"]
    for number in range(1, 7):
        expected += [(name, number) for name, _ in step]
        if number in (4, 6):
            expected.append(("on_epoch_end", 1 if number == 4 else 2))
    assert watcher.calls == [*expected, ("on_run_end", "completed")]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_has_the_same_bits_with_no_some_and_all_observers(optimizer):
    config = small(optimizer=optimizer)
    alone = train(config, create_manager(block=["gradient-angle", "spike-score"]))
    recorded = train(config, open_sink=Sink().open)
    watched = train(config, host_with(Everything()), Sink().open)
    assert [record.digest for record in alone.epochs] == [record.digest for record in recorded.epochs]
    assert [record.digest for record in alone.epochs] == [record.digest for record in watched.epochs]
    assert alone.epochs == recorded.epochs == watched.epochs
    assert len({record.digest for record in alone.epochs}) == 2


@pytest.mark.parametrize("model", ["small-cnn", "paper-cnn"])
def test_the_same_seed_has_the_same_bits_and_another_has_not(model):
    config = small(model=model, optimizer="adam", steps=2, batch_size=8)
    first, again, other = train(config), train(config), train(attrs.evolve(config, seed=1))
    assert first.digest == again.digest
    assert first.digest != other.digest


def test_facts_are_those_of_the_batch_before_the_update():
    sink = Sink()
    train(small(batch_size=64, steps=3), open_sink=sink.open)
    losses = [facts["loss"] for _, facts, _ in sink.steps]
    assert losses[0] > losses[2] > 0
    assert [facts["lr"] for _, facts, _ in sink.steps] == [0.01] * 3
    times = [facts["wall_time"] for _, facts, _ in sink.steps]
    assert times == sorted(times)
    assert all(0 <= facts["accuracy"] <= 1 for _, facts, _ in sink.steps)


def test_the_reported_loss_is_a_mean_whatever_is_differentiated():
    mean, total = Sink(), Sink()
    train(small(steps=1), open_sink=mean.open)
    train(small(steps=1, reduction="sum"), open_sink=total.open)
    assert total.steps[0][1]["loss"] == pytest.approx(mean.steps[0][1]["loss"], rel=1e-6)
    for name in ("dlogits_norm", "grad_norm"):
        ratio = np.asarray(total.steps[0][2]["step"][name]) / np.asarray(mean.steps[0][2]["step"][name])
        assert ratio == pytest.approx(16, rel=1e-4)


def test_sum_at_lr_is_mean_at_lr_times_batch():
    total = train(small(reduction="sum", lr=1e-4))
    mean = train(small(reduction="mean", lr=16e-4))
    assert total.epochs[-1].train_loss == pytest.approx(mean.epochs[-1].train_loss, rel=1e-5)


@pytest.mark.parametrize(("lr", "status"), [(1.99, "completed"), (2.01, "completed"), (3.0, "diverged")])
def test_gradient_descent_on_a_quadratic_behaves_as_its_closed_form_says(lr, status):
    sink = Sink()
    result = train(RunConfig(model="quadratic", optimizer="sgd", lr=lr, steps=200), open_sink=sink.open)
    assert result.status == status
    losses = np.array([facts["loss"] for _, facts, _ in sink.steps])
    steps = np.arange(len(losses))
    finite = np.isfinite(losses) & (losses < 1e30)
    assert losses[finite] == pytest.approx(0.5 * (1 - lr) ** (2.0 * steps[finite]), rel=1e-3)


def test_divergence_is_a_result_and_its_last_row_holds_the_loss_alone():
    sink, watcher = Sink(), Everything()
    result = train(RunConfig(model="quadratic", lr=50.0, steps=100), host_with(watcher), sink.open)
    assert result.status == "diverged"
    assert result.first_bad_step == result.steps == len(sink.steps)
    assert not math.isfinite(sink.steps[-1][1]["loss"])
    assert sink.steps[-1][2] == {}
    assert sink.steps[-2][2] != {}
    assert sink.result.status == "diverged"
    assert watcher.calls[-1] == ("on_run_end", "diverged")


def test_a_schedule_sets_the_rate_before_each_update():
    sink = Sink()
    train(RunConfig(model="quadratic", lr=0.4, steps=4, schedule="inverse-sqrt"), open_sink=sink.open)
    rates = [facts["lr"] for _, facts, _ in sink.steps]
    assert rates == pytest.approx([0.4 / math.sqrt(step) for step in range(1, 5)])


def test_a_look_ahead_sees_the_rate_of_its_step():
    """Also at the first step, and in a run that is taken up: the rate is set before anything is asked of a step."""
    seen = []

    @attrs.define(kw_only=True)
    class Looks(SGD):
        name = "looks"

        def evaluation_params(self, params, state):
            seen.append(self.lr)
            return params

    config = RunConfig(model="quadratic", optimizer="looks", lr=0.4, steps=4, schedule="inverse-sqrt")
    train(config, host_with(brings("optimizers", Looks)))
    assert seen == pytest.approx([0.4 / math.sqrt(step) for step in range(1, 5)])


how = RuntimeError
"""What those below raise."""


@attrs.define(kw_only=True)
class Fails(Optimizer):
    name = "fails"

    def update(self, params, grads, state, step):
        raise how("on purpose")


class ReturnsParameters(SGD):
    name = "fails"

    def update(self, params, grads, state, step):
        """Fail on purpose: the classic mistake."""
        return params.flat - self.lr * grads.flat


class GivesNaN(SGD):
    name = "gives-nan"

    def update(self, params, grads, state, step):
        params.flat[...] = np.nan


class FailsAtInit(SGD):
    name = "fails"

    def init(self, params):
        raise how("on purpose")


class FailsLookingAhead(SGD):
    name = "fails"

    def evaluation_params(self, params, state):
        raise how("on purpose")


class FailingModel(Quadratic):
    name = "failing"

    def forward(self, params, x, rng):
        raise how("on purpose")


class FailsInEvaluation(Quadratic):
    name = "failing"

    def forward(self, params, x, rng):
        if rng is None:
            raise how("on purpose")
        return super().forward(params, x, rng)


class FailingSchedule:
    name = "failing"

    def factor(self, step, steps):
        raise how("on purpose")


class FailingRecorder:
    name = "failing"

    def signals(self, run):
        return (Signal("x", every=2),)

    def record(self, step, quantities):
        raise how("on purpose")


class FailingObserver:
    @hookimpl
    def on_backward(self, step):
        raise how("on purpose")


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
@pytest.mark.parametrize(
    ("plugin", "changes", "part"),
    [
        (brings("optimizers", Fails), {"optimizer": "fails"}, "optimizer 'fails' of plugin 'test-0' failed at step 1"),
        (brings("optimizers", FailsAtInit), {"optimizer": "fails"}, "optimizer 'fails' of plugin 'test-0' failed:"),
        (brings("optimizers", FailsLookingAhead), {"optimizer": "fails"}, "optimizer 'fails' of plugin 'test-0'"),
        (brings("models", FailingModel), {"model": "failing"}, "model 'failing' of plugin 'test-0' failed at step 1"),
        (
            brings("models", FailsInEvaluation),
            {"model": "failing"},
            "model 'failing' of plugin 'test-0' failed at step 3",
        ),
        (brings("schedules", FailingSchedule), {"schedule": "failing"}, "schedule 'failing' of plugin 'test-0'"),
        (brings("recorders", FailingRecorder), {}, "recorder 'failing' of plugin 'test-0' failed at step 1"),
        (FailingObserver(), {}, "plugin 'test-0' failed in on_backward"),
    ],
)
def test_what_a_plugin_raises_fails_the_run_with_its_name(monkeypatch, plugin, changes, part, error):
    monkeypatch.setitem(globals(), "how", error)
    sink, watcher = Sink(), Everything()
    config = RunConfig(**{"model": "quadratic", "steps": 3, **changes})
    result = train(config, host_with(plugin, watcher), sink.open)
    assert result.status == "failed"
    assert part in result.why
    assert "on purpose" in result.why
    assert watcher.calls[-2:] == [("on_run_error", result.why), ("on_run_end", "failed")]
    assert sink.result == result


def test_an_update_that_returns_something_fails_the_run_and_says_what_it_must_do():
    host = host_with(brings("optimizers", ReturnsParameters))
    result = train(RunConfig(model="quadratic", optimizer="fails", steps=3), host)
    assert result.status == "failed"
    assert "update must change params in place and return nothing" in result.why


def test_a_diverged_run_says_what_was_not_finite():
    host = host_with(brings("optimizers", GivesNaN))
    result = train(RunConfig(model="quadratic", optimizer="gives-nan", steps=3), host)
    assert (result.status, result.why) == ("diverged", "a parameter is not finite at step 1")
    result = train(RunConfig(model="quadratic", lr=1e30, steps=3))
    assert (result.status, result.why) == ("diverged", "the loss is not finite at step 2")


def test_a_recorder_that_cannot_say_what_it_records_is_named_before_anything_runs():
    class Silent(FailingRecorder):
        def signals(self, run):
            raise RuntimeError("on purpose")

    with pytest.raises(PluginError, match="recorder 'failing' of plugin 'test-0' failed: RuntimeError: on purpose"):
        prepare(RunConfig(model="quadratic"), host_with(brings("recorders", Silent)))


def test_the_end_is_told_when_the_file_is_there(tmp_path):
    told = []

    class Asks:
        @hookimpl
        def on_run_end(self, result):
            with open_run(result.path) as run:
                told.append((run.status, result.status))

    path = tmp_path / "run.h5"
    config = RunConfig(model="quadratic", steps=3)
    train(config, host_with(Asks()), lambda info, signals: RunWriter.create(path, info, signals))
    assert told == [("completed", "completed")]


def test_a_file_that_cannot_be_finished_is_a_failed_run_and_an_error():
    class Full(Sink):
        def finish(self, result):
            raise FileError("the disk is full")

    watcher = Everything()
    with pytest.raises(FileError, match="the disk is full"):
        train(RunConfig(model="quadratic", steps=3), host_with(watcher), Full().open)
    assert watcher.calls[-2:] == [("on_run_error", "the disk is full"), ("on_run_end", "failed")]


def test_a_sink_that_cannot_write_is_an_error_and_everybody_hears_of_it():
    class Full(Sink):
        def write_step(self, step, facts, recorded):
            raise FileError("the disk is full")

    sink, watcher = Full(), Everything()
    with pytest.raises(FileError, match="the disk is full"):
        train(RunConfig(model="quadratic", steps=3), host_with(watcher), sink.open)
    assert [call[0] for call in watcher.calls[-2:]] == ["on_run_error", "on_run_end"]
    assert sink.closed


def test_an_interrupted_run_keeps_what_it_had():
    class Stops:
        @hookimpl
        def on_step(self, step):
            if step == 3:
                raise KeyboardInterrupt

    sink = Sink()
    result = train(RunConfig(model="quadratic", steps=9), host_with(Stops()), sink.open)
    assert (result.status, result.steps) == ("interrupted", 2)
    assert len(sink.steps) == 2
    assert sink.closed
    assert sink.result is None


def watches():
    """Return a recorder that asks for single quantities on different schedules, and what it was handed."""
    seen = []

    class Watches:
        name = "watches"

        def signals(self, run):
            return (
                Signal("all", every=1, needs=("params",)),
                Signal("third", every=3, needs=("update", "state")),
                Signal("last", every="epoch", needs=("probe_logits",)),
            )

        def record(self, step, quantities):
            seen.append((step, sorted(quantities)))
            if "update" in quantities:
                assert np.abs(quantities["update"].flat).max() > 0
            return {"all": 1.0, "third": 3.0, "last": 9.0}

    return Watches, seen


def test_a_recorder_is_called_once_a_step_with_what_its_due_signals_need_and_nothing_else():
    watcher, seen = watches()
    sink = Sink()
    train(small(steps=4, optimizer="adam"), host_with(brings("recorders", watcher)), sink.open)
    assert seen == [
        (1, ["params", "state", "update"]),
        (2, ["params"]),
        (3, ["params"]),
        (4, ["params", "probe_logits", "state", "update"]),
    ]
    assert sink.steps[3][2]["watches"] == {"all": 1.0, "third": 3.0}
    assert sink.epochs[0][1]["watches"] == {"last": 9.0}


def test_what_nobody_asked_for_is_not_computed(monkeypatch):
    class Modest:
        name = "modest"

        def signals(self, run):
            return (Signal("x", needs=("loss",)), Signal("y", every=3, needs=("update",)))

        def record(self, step, quantities):
            return {"x": quantities["loss"], "y": 0.0}

    copies, probes = [], []
    counting = SimpleNamespace(copyto=lambda *args: copies.append(1), subtract=np.subtract)
    monkeypatch.setattr("optiscope.engine.quantities.np", counting)
    monkeypatch.setattr("optiscope.engine.evaluate.Evaluator.outputs", lambda self, *args: probes.append(1))
    host = create_manager(discover=False)
    host.register(brings("recorders", Modest), "modest")
    builtin = create_manager(block=["gradient-angle"]).pieces
    for kind in ("optimizers", "models", "datasets", "schedules"):
        for name, piece in builtin(kind).items():
            host.register(brings(kind, piece.factory), f"{kind}-{name}")
    train(small(steps=5), host, Sink().open)
    assert len(copies) == 2
    assert not probes


def test_no_recorder_can_change_what_another_is_handed():
    class Scribbles:
        name = "a-scribbler"

        def signals(self, run):
            return (Signal("x", needs=tuple(QUANTITIES)),)

        def record(self, step, quantities):
            flat = (quantities[name].flat for name in ("params", "grads", "update"))
            plain = (quantities[name] for name in ("labels", "logits", "dlogits", "last_input", "probe_logits"))
            for array in (*flat, *plain, *quantities["state"].values()):
                with pytest.raises(ValueError, match="WRITEABLE"):
                    array.flags.writeable = True
            return {"x": 0.0}

    result = train(small(steps=1, optimizer="adam"), host_with(brings("recorders", Scribbles)), Sink().open)
    assert result.status == "completed", result.why


def test_the_update_a_recorder_sees_is_what_the_optimizer_did():
    class Sees:
        name = "sees"

        def signals(self, run):
            return (Signal("gap", needs=("update", "grads")),)

        def record(self, step, quantities):
            gap = quantities["update"].flat + 0.01 * quantities["grads"].flat
            return {"gap": float(np.abs(gap).max())}

    sink = Sink()
    train(small(steps=3), host_with(brings("recorders", Sees)), sink.open)
    assert max(recorded["sees"]["gap"] for _, _, recorded in sink.steps) < 1e-7


def test_epochs_cycle_and_the_last_may_be_cut_short():
    result = train(small(steps=10))
    assert [(record.epoch, record.step) for record in result.epochs] == [(1, 4), (2, 8), (3, 10)]
    whole = train(small(steps=None, epochs=2))
    assert whole.steps == 8


def test_lr_given_goes_before_the_option_and_the_default():
    assert prepare(small()).info.lr == SGD().lr
    assert prepare(small(options=SMALL | {"sgd": {"lr": 0.5}})).info.lr == 0.5
    assert prepare(small(lr=0.25, options=SMALL | {"sgd": {"lr": 0.5}})).info.lr == 0.25
