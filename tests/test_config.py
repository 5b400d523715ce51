import math
import pickle

import attrs
import pytest

from optiscope.config import (
    DEFAULT_STEPS,
    Common,
    GridConfig,
    RunConfig,
    check_lr,
    parse_spelling,
    spell,
)


@pytest.mark.parametrize("lr", [1, 0.1, 1e-30, 1e30])
def test_a_learning_rate_is_any_finite_number_above_zero(lr):
    check_lr(lr)
    assert RunConfig(lr=lr).lr == lr
    assert GridConfig(lrs=[lr]).lrs == (lr,)


@pytest.mark.parametrize("lr", [0, -0.1, math.nan, math.inf, True, "0.1"])
def test_anything_else_is_refused(lr):
    for make in (lambda: check_lr(lr), lambda: RunConfig(lr=lr), lambda: GridConfig(lrs=(0.1, lr))):
        with pytest.raises(ValueError, match="a learning rate must be a finite number above zero, not"):
            make()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (RunConfig, {"batch_size": 0}, "batch_size must be a whole number >= 1, not 0"),
        (RunConfig, {"batch_size": 2.0}, "batch_size must be a whole number >= 1, not 2.0"),
        (RunConfig, {"batch_size": True}, "batch_size must be a whole number >= 1, not True"),
        (RunConfig, {"seed": -1}, "seed must be a whole number >= 0, not -1"),
        (RunConfig, {"steps": 0}, "steps must be a whole number >= 1, not 0"),
        (RunConfig, {"epochs": -3}, "epochs must be a whole number >= 1, not -3"),
        (RunConfig, {"train_samples": 0}, "train_samples must be a whole number >= 1, not 0"),
        (RunConfig, {"threads": 0}, "threads must be a whole number >= 1, not 0"),
        (RunConfig, {"reduction": "median"}, "reduction must be mean or sum, not 'median'"),
        (RunConfig, {"order": "sorted"}, "order must be paper or reshuffle, not 'sorted'"),
        (RunConfig, {"steps": 5, "epochs": 1}, "steps and epochs exclude each other: give one of them"),
        (GridConfig, {"steps": 5, "epochs": 1}, "steps and epochs exclude each other: give one of them"),
        (GridConfig, {"batch_sizes": (50, 0)}, "batch_sizes must be a whole number >= 1, not 0"),
        (GridConfig, {"batch_sizes": ()}, "batch_sizes must name at least one"),
        (GridConfig, {"optimizers": ()}, "optimizers must name at least one"),
        (RunConfig, {"budget": 0}, "budget must be a percentage above 0 and at most 100, not 0"),
        (RunConfig, {"budget": math.nan}, "budget must be a percentage above 0 and at most 100, not nan"),
        (GridConfig, {"budget": 101}, "budget must be a percentage above 0 and at most 100, not 101"),
        (GridConfig, {"budget": "5"}, "budget must be a percentage above 0 and at most 100, not '5'"),
        (RunConfig, {"thin": {"probe": 0}}, "thin must give probe a whole number >= 1, not 0"),
        (GridConfig, {"thin": {"probe": 1.5}}, "thin must give probe a whole number >= 1, not 1.5"),
        (GridConfig, {"seeds": 0}, "seeds must be a whole number >= 1 or 'auto', not 0"),
        (GridConfig, {"seeds": True}, "seeds must be a whole number >= 1 or 'auto', not True"),
        (GridConfig, {"seeds": "many"}, "seeds must be a whole number >= 1 or 'auto', not 'many'"),
        (GridConfig, {"max_seeds": 0}, "max_seeds must be a whole number >= 1, not 0"),
        (GridConfig, {"confidence": 1}, "confidence must be above 0 and below 1, not 1"),
        (GridConfig, {"confidence": math.nan}, "confidence must be above 0 and below 1, not nan"),
        (GridConfig, {"confidence": "0.9"}, "confidence must be above 0 and below 1, not '0.9'"),
    ],
)
def test_values_are_checked(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_the_default_grid_is_the_papers():
    grid = GridConfig()
    assert grid.optimizers == ("sgd", "adam")
    assert grid.batch_sizes == (50, 100, 150, 200)
    assert (grid.lrs, grid.seeds, grid.order, grid.reduction) == ((), 1, "paper", ("mean",))


@pytest.mark.parametrize(
    ("options", "total"),
    [({}, DEFAULT_STEPS), ({"steps": 7}, 7), ({"epochs": 3}, 150), ({"epochs": 1}, 50)],
)
def test_total_steps(options, total):
    assert Common(**options).total_steps(steps_per_epoch=50) == total


def test_lists_become_tuples():
    grid = GridConfig(optimizers=["adam"], batch_sizes=[10], plugins=["a.py"], block=["b"])
    assert (grid.optimizers, grid.batch_sizes, grid.plugins, grid.block) == (("adam",), (10,), ("a.py",), ("b",))


@pytest.mark.parametrize(
    ("text", "name", "options", "spelled"),
    [
        ("adam", "adam", {}, "adam"),
        ("adam()", "adam", {}, "adam"),
        (" adam ( beta1 = .8 ) ", "adam", {"beta1": 0.8}, "adam(beta1=0.8)"),
        ("a(y=1, x=true)", "a", {"x": True, "y": 1}, "a(x=true, y=1)"),
        ("torch:RAdam(betas=[0.8,0.99])", "torch:RAdam", {"betas": (0.8, 0.99)}, "torch:RAdam(betas=[0.8, 0.99])"),
        ("a(x=inside, y=1e-8)", "a", {"x": "inside", "y": 1e-8}, "a(x=inside, y=1e-08)"),
        ('a(x="(,]", y="true", z="3")', "a", {"x": "(,]", "y": "true", "z": "3"}, 'a(x="(,]", y="true", z="3")'),
        ("""a(x=['b]', "c"])""", "a", {"x": ("b]", "c")}, 'a(x=["b]", "c"])'),
    ],
)
def test_an_optimizer_is_spelled_with_its_own_options(text, name, options, spelled):
    """What means the same looks the same, and is read as it was meant."""
    assert parse_spelling(text) == (name, options)
    assert spell(name, options) == spelled
    assert parse_spelling(spelled) == (name, options)
    assert GridConfig(optimizers=[text]).optimizers == (spelled,)
    assert GridConfig(optimizers=[{"name": name, **options}]).optimizers == (spelled,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "adam(",
        "adam)",
        "adam(beta1)",
        "adam(beta1=)",
        "(a=1)",
        "adam(a=1,,b=2)",
        "adam(a=1)x",
        "adam(a=1, a=2)",
        "adam(a=[1)",
        'adam(a="1)',
        "adam(a=b(c))",
    ],
)
def test_what_is_no_spelling_is_refused(text):
    with pytest.raises(ValueError, match=r"optimizers must be written NAME or NAME\(KEY=VALUE, \.\.\.\)"):
        GridConfig(optimizers=[text])


@pytest.mark.parametrize("lr", ["0", "fast", "true", "nan"])
def test_an_lr_among_the_options_is_checked_as_one(lr):
    with pytest.raises(ValueError, match="a learning rate must be a finite number above zero, not"):
        GridConfig(optimizers=["sgd", f"adam(lr={lr})"])


def test_a_model_and_a_reduction_may_be_several():
    assert (GridConfig(model="a").model, GridConfig(reduction="sum").reduction) == (("a",), ("sum",))
    grid = GridConfig(model=["a", "b"], reduction=["mean", "sum"])
    assert (grid.model, grid.reduction) == (("a", "b"), ("mean", "sum"))
    for empty in ({"model": []}, {"reduction": []}):
        with pytest.raises(ValueError, match="must name at least one"):
            GridConfig(**empty)
    with pytest.raises(ValueError, match="reduction must be mean or sum, not 'median'"):
        GridConfig(reduction=["mean", "median"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("optimizers", "sgd"), ("batch_sizes", 50), ("lrs", "12"), ("plugins", "a.py"), ("block", "b")],
)
def test_one_value_is_not_taken_for_several(name, value):
    with pytest.raises(ValueError, match=f"a list or a tuple is needed in place of {value!r}: write"):
        GridConfig(**{name: value})


def test_options_are_copied_and_sorted():
    """Equal questions must be equal configurations, whatever the order in which they were asked."""
    asked = {"sgd": {"weight_decay": 0.1}, "adam": {"beta2": 0.9, "beta1": 0.8}}
    config = RunConfig(options=asked)
    asked["adam"]["beta1"] = 0.5
    assert list(config.options) == ["adam", "sgd"]
    assert list(config.options["adam"].items()) == [("beta1", 0.8), ("beta2", 0.9)]


@pytest.mark.parametrize(
    "config", [RunConfig(lr=0.1, options={"adam": {"beta1": 0.8}}), GridConfig(lrs=(0.1, 0.2), epochs=2)]
)
def test_a_configuration_travels_to_workers(config):
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize("kind", [RunConfig, GridConfig])
def test_a_configuration_is_frozen_and_named_only(kind):
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        kind().model = "other"
    with pytest.raises(TypeError, match="positional"):
        kind("small-cnn")


def test_evolving_checks_again():
    with pytest.raises(ValueError, match="batch_size"):
        attrs.evolve(RunConfig(), batch_size=-1)


@pytest.mark.parametrize(
    ("options", "unmeasured"),
    [({}, False), ({"budget": 5}, True), ({"budget": 5, "thin": {}}, False), ({"thin": {"probe": 2}}, False)],
)
def test_a_budget_is_measured_once(options, unmeasured):
    assert RunConfig(**options).unmeasured is unmeasured


@pytest.mark.parametrize("table", [{"beta1": 0.8}, {"name": 3}])
def test_a_table_without_a_name_is_refused(table):
    with pytest.raises(ValueError, match=r"optimizers must have a name, such as name = 'adam', and \{.*\} has none"):
        GridConfig(optimizers=[table])
