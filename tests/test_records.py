import pickle

import attrs
import pytest

from optiscope.records import (
    QUANTITIES,
    EpochRecord,
    PluginInfo,
    RunInfo,
    RunResult,
    Signal,
    observers,
    thinned,
)

RUN = RunInfo(
    run_id="sgd-b50-s0-1234",
    optimizer="sgd",
    optimizer_options={"lr": 0.01},
    model="small-cnn",
    model_options={},
    data="synthetic",
    data_digest="00",
    batch_size=50,
    lr=0.01,
    seed=0,
    reduction="mean",
    steps=400,
    steps_per_epoch=100,
    epochs=4,
    train_samples=5000,
    test_samples=1000,
    probe_size=256,
    parameters=(("w", (2, 3)),),
    output="logits",
    outputs=10,
    class_names=("a", "b"),
    config={},
    plugins=(PluginInfo(name="p", version="1", origin="here"),),
)
EPOCH = EpochRecord(epoch=1, step=100, train_loss=2.0, train_accuracy=0.3, val_loss=2.1, val_accuracy=0.2, digest="00")
RESULT = RunResult(run_id="sgd-b50-s0-1234", status="diverged", steps=7, epochs=(EPOCH,), first_bad_step=8)
SIGNAL = Signal("norm", needs=["grads"], every=5)


@pytest.mark.parametrize(
    ("every", "due"),
    [(1, [1, 2, 3, 4, 5, 6, 7]), (2, [1, 3, 5, 7]), (3, [1, 4, 7]), (100, [1]), ("epoch", [])],
)
def test_rows_are_due_at_the_first_step_and_every_so_many_after(every, due):
    assert [step for step in range(1, 8) if Signal("x", every=every).due(step)] == due


@pytest.mark.parametrize("every", [0, -1, "step", 1.5, None])
def test_another_schedule_is_refused(every):
    with pytest.raises(ValueError, match="every must be a number of steps >= 1 or 'epoch', not"):
        Signal("x", every=every)


def test_needs_are_quantities():
    assert Signal("x", needs=list(QUANTITIES)).needs == tuple(QUANTITIES)
    with pytest.raises(ValueError, match="a signal cannot need 'gradients': known quantities are loss, labels"):
        Signal("x", needs=("loss", "gradients"))


@pytest.mark.parametrize("fact", [RUN, EPOCH, RESULT, SIGNAL], ids=lambda fact: type(fact).__name__)
def test_facts_travel_and_cannot_be_changed(fact):
    assert pickle.loads(pickle.dumps(fact)) == fact
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(fact, attrs.fields(type(fact))[0].name, None)


def test_a_result_needs_no_more_than_how_it_ended():
    result = RunResult(run_id="x", status="completed", steps=3)
    assert (result.epochs, result.first_bad_step, result.why, result.path) == ((), None, "", None)


def test_a_thinned_signal_is_due_at_some_of_its_steps_and_at_no_other():
    before, at_epochs = Signal("x", every=3), Signal("y", every="epoch")
    after, same = thinned((before, at_epochs), 4)
    assert [step for step in range(1, 40) if before.due(step)][::4] == [s for s in range(1, 40) if after.due(s)]
    assert same == at_epochs


def test_everybody_whose_time_is_added_up_has_a_name_of_his_own():
    plugins = (PluginInfo(name="a", version="1", origin="x", hooks=("on_step",)), *RUN.plugins)
    run = attrs.evolve(RUN, plugins=plugins)
    assert observers(run, ["step", "a"]) == ("recorder a", "recorder step", "hooks of a", "writer")
