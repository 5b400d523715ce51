"""The budget of recorders, by a clock that only moves when a recorder or an update says how long it takes."""

import attrs
import pytest

from optiscope.config import RunConfig
from optiscope.engine import measure, prepare, schedules, train
from optiscope.errors import PluginError, UsageError
from optiscope.hooks import create_manager, hookimpl
from optiscope.records import Signal, thinned
from optiscope.storage import RunWriter, open_run

CONFIG = RunConfig(model="quadratic", optimizer="one-second", batch_size=1, steps=100, budget=5)


def measured(host, **changes):
    found = measure(prepare(attrs.evolve(CONFIG, **changes), host))
    return {each.recorder: each for each in found}


def test_what_costs_too_much_is_thinned_just_enough(timed):
    host = timed.host(timed.recorder("cheap", [1], lambda *_: 0.04), timed.recorder("dear", [2], lambda *_: 0.4))
    found = measured(host)
    assert found["cheap"].share == pytest.approx(4)
    assert (found["cheap"].factor, found["cheap"].told) == (1, "")
    dear = found["dear"]
    assert (dear.share, dear.rows) == (pytest.approx(20), 50)
    assert (dear.factor, dear.thinned_share, dear.thinned_rows) == (5, pytest.approx(4), 10)
    assert dear.told == (
        "recorder dear takes 20.0 % of a step, more than --budget 5: of its 50 rows in a run it takes 10"
    )
    assert schedules(found.values()) == {"dear": 5}


def test_signals_on_several_schedules_count_as_often_as_they_are_due(timed):
    host = timed.host(timed.recorder("mixed", [1, 10], lambda due, _: 0.01 if len(due) == 1 else 1.01))
    mixed = measured(host, budget=6)["mixed"]
    assert mixed.share == pytest.approx((100 * 0.01 + 10 * 1.0) / 100 * 100)
    assert (mixed.factor, mixed.thinned_share) == (2, pytest.approx(5.5))


@pytest.mark.parametrize("steps", [1, 7, 30, 100, 101])
@pytest.mark.parametrize("budget", [1, 3, 10, 40])
@pytest.mark.parametrize("periods", [[1], [3], [2, 3], [1, 4, 6]])
def test_the_share_is_that_of_a_run_with_the_thinned_schedule(timed, steps, budget, periods):
    def cost(due):
        return sum(0.1 * signal.every for signal in due) + 0.05 * len(due)

    host = timed.host(timed.recorder("mine", periods, lambda due, _: cost(due)))
    found = measured(host, steps=steps, budget=budget)["mine"]
    declared = tuple(Signal(f"x{every}", every=every) for every in periods)

    def share(factor):
        slower = thinned(declared, factor)
        due = [[old for old, new in zip(declared, slower, strict=True) if new.due(s)] for s in range(1, steps + 1)]
        return 100 * sum(cost(each) for each in due) / steps

    assert found.share == pytest.approx(share(1))
    assert found.thinned_share == pytest.approx(share(found.factor))
    smaller = [factor for factor in (1, 2, 5, 10, 20, 50, 100, 200) if factor < found.factor]
    assert found.thinned_share <= max(budget, share(10_000)) + 1e-9
    assert all(share(factor) > budget for factor in smaller)


def test_the_first_call_which_makes_buffers_is_not_counted(timed):
    host = timed.host(timed.recorder("mine", [1], lambda _, call: [9.0, 0.01, 0.02, 0.03][call]))
    assert measured(host)["mine"].share == pytest.approx(2)


def test_a_recorder_that_needs_every_row_is_left_alone_and_named(timed):
    host = timed.host(timed.recorder("mine", [1], lambda *_: 0.5, essential=True))
    found = measured(host)
    assert schedules(found.values()) == {}
    assert found["mine"].told == (
        "recorder mine takes 50.0 % of a step, more than --budget 5, and is not thinned: it needs every row"
    )


def test_the_recorder_that_verdicts_rest_on_needs_every_row(timed):
    assert measured(timed.host())["step"].essential


def test_what_a_single_row_is_too_much_for_takes_one_and_says_so(timed):
    found = measured(timed.host(timed.recorder("mine", [10], lambda *_: 50.0)))["mine"]
    assert (found.factor, found.thinned_rows, found.thinned_share) == (10, 1, pytest.approx(50))
    assert found.told.endswith("of its 10 rows in a run it takes 1, which is still 50.0 %")


def test_rows_at_the_end_of_an_epoch_are_not_measured(timed):
    asked = []
    host = timed.host(timed.recorder("mine", ["epoch"], lambda *_: asked.append(1) or 9.0))
    assert set(measured(host)) == {"step"}
    assert asked == []


def test_nobody_hears_of_the_throw_away_steps(timed):
    heard = []

    class Hears:
        @hookimpl
        def on_run_start(self):
            heard.append("start")

        @hookimpl
        def on_step(self, step):
            heard.append(step)

    asked = timed.recorder("mine", [1], lambda *_: 0.1)
    host = timed.host(asked, observer=Hears())
    run = prepare(CONFIG, host)
    measure(run)
    assert heard == []
    assert next(each for each in run.recorders if each.name == "mine").calls == 0, "the run's own recorder is fresh"


def test_what_raises_is_named(timed):
    def fail(*_):
        raise RuntimeError("on purpose")

    with pytest.raises(PluginError, match=r"--budget cannot be measured: recorder 'mine' of plugin 'timed'"):
        measured(timed.host(timed.recorder("mine", [1], fail)))


@pytest.fixture
def record(tmp_path):
    """Return a function that trains a configuration into a file."""

    def run(name, config, host=None):
        path = tmp_path / f"{name}.h5"
        result = train(config, host, lambda info, signals: RunWriter.create(path, info, signals))
        assert result.status == "completed", result.why
        return open_run(path)

    return run


def test_a_run_with_a_budget_measures_and_writes_down_what_came_out(timed, record):
    host = timed.host(timed.recorder("mine", [2], lambda *_: 0.4))
    with record("run", CONFIG, host) as run:
        assert run.config["config"]["thin"] == {"mine": 5}
        assert run.plugins["mine"]["step"].tolist() == list(range(1, 101, 10))
        assert len(run.steps["loss"]) == 100


def test_schedules_that_are_there_already_are_not_measured(timed, record, monkeypatch):
    monkeypatch.setattr("optiscope.engine.run.measure", None)
    host = timed.host(timed.recorder("mine", [2], lambda *_: 0.4))
    with record("run", attrs.evolve(CONFIG, thin={"mine": 3}), host) as run:
        assert run.plugins["mine"]["step"].tolist() == list(range(1, 101, 6))


def test_training_has_the_same_bits_and_the_same_name_with_and_without(record):
    config = RunConfig(optimizer="adam", batch_size=16, steps=8, options={"synthetic": {"train": 64, "test": 20}})
    digests, names = set(), set()
    for number, changes in enumerate([{}, {"budget": 0.001}, {"thin": {"probe": 3}}]):
        with record(str(number), attrs.evolve(config, **changes), create_manager()) as run:
            digests.add((run.attrs["digest"], run.epochs["digest"].tobytes()))
            names.add(run.run_id)
    assert len(digests) == len(names) == 1


@pytest.mark.parametrize(
    ("thin", "said"),
    [
        ({"prob": 2}, "unknown recorder in --thin 'prob': did you mean 'probe'?"),
        ({"step": 2}, "recorder 'step' cannot be thinned, because it needs every row"),
    ],
)
def test_schedules_that_cannot_be_are_refused(thin, said):
    with pytest.raises(UsageError) as raised:
        prepare(RunConfig(model="quadratic", thin=thin))
    assert said in str(raised.value)
