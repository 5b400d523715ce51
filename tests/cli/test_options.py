"""The layers of a configuration: defaults, then the file, then the flags."""

from pathlib import Path

import attrs
import pytest

from optiscope.cli.options import GridFlags, grid_config, parse_options
from optiscope.config import GridConfig, parse_value
from optiscope.errors import UsageError


def test_flags_have_the_fields_of_the_grid():
    assert set(attrs.fields_dict(GridFlags)) == set(attrs.fields_dict(GridConfig))


def test_no_flags_are_the_defaults():
    assert grid_config(GridFlags()) == GridConfig()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.8", 0.8),
        (".8", 0.8),
        ("3", 3),
        ("1e-3", 1e-3),
        ("-2", -2),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ('"3"', "3"),
        ("decoupled", "decoupled"),
        ("[0.8, 0.99]", (0.8, 0.99)),
        ("[]", ()),
        ('[1, "a", true]', (1, "a", True)),
        ("[[1], 2]", "[[1], 2]"),
        ("[1, 2", "[1, 2"),
        ("2026-11-23", "2026-11-23"),
        ("1\nother = 2", "1\nother = 2"),
        ("", ""),
    ],
)
def test_values(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_options_of_several_pieces():
    assert parse_options(("adam.beta1=0.8", "adam.beta2=0.9", "quadratic.curvature=4", "a.b.c=x=y")) == {
        "adam": {"beta1": 0.8, "beta2": 0.9},
        "quadratic": {"curvature": 4},
        "a.b": {"c": "x=y"},
    }


@pytest.mark.parametrize("text", ["adam", "beta1=0.8", "adam.=1", ".beta1=1", "adam.beta1", "="])
def test_options_that_name_nothing(text):
    with pytest.raises(UsageError, match=r"--set takes NAME\.KEY=VALUE"):
        parse_options((text,))


@pytest.fixture
def file() -> Path:
    path = Path("grid.toml")
    path.write_text('model = "paper-cnn"\nbatch_sizes = [10]\nepochs = 3\n[options.adam]\nbeta1 = 0.8\nbeta2 = 0.9\n')
    return path


def test_flags_win_over_the_file_and_the_file_over_the_defaults(file):
    grid = grid_config(GridFlags(batch_sizes=(20, 30), options=("adam.beta1=0.7", "sgd.momentum=0.5")), file)
    assert grid.batch_sizes == (20, 30)
    assert grid.model == ("paper-cnn",)
    assert grid.optimizers == GridConfig().optimizers
    assert grid.options == {"adam": {"beta1": 0.7, "beta2": 0.9}, "sgd": {"momentum": 0.5}}


def test_axes_are_given_as_they_are_written():
    flags = GridFlags(optimizers=("adam( beta1=.8 )", "adam"), model=("a", "b"), reduction=("sum", "mean"))
    grid = grid_config(flags)
    assert (grid.optimizers, grid.model, grid.reduction) == (("adam(beta1=0.8)", "adam"), ("a", "b"), ("sum", "mean"))


def test_steps_take_the_place_of_epochs(file):
    assert (grid_config(GridFlags(), file).epochs, grid_config(GridFlags(), file).steps) == (3, None)
    grid = grid_config(GridFlags(steps=5), file)
    assert (grid.epochs, grid.steps) == (None, 5)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"batch_sizes": (0,)}, "--batch-sizes must be a whole number >= 1, not 0"),
        ({"train_samples": -1}, "--train-samples must be a whole number >= 1, not -1"),
        (
            {"optimizers": ("adam(",)},
            "--optimizers must be written NAME or NAME(KEY=VALUE, ...), such as adam(beta1=0.8), not 'adam('",
        ),
        ({"lrs": (0.0,)}, "a learning rate must be a finite number above zero, not 0.0"),
        ({"steps": 1, "epochs": 1}, "steps and epochs exclude each other: give one of them"),
    ],
)
def test_values_that_no_grid_can_have(flags, sentence):
    with pytest.raises(UsageError) as caught:
        grid_config(GridFlags(**flags))
    assert str(caught.value) == sentence


def test_seeds_may_be_as_many_as_it_takes():
    grid = grid_config(GridFlags(seeds="auto", confidence=0.9, max_seeds=30))
    assert (grid.seeds, grid.confidence, grid.max_seeds) == ("auto", 0.9, 30)


def test_a_limit_without_what_it_limits_is_refused():
    Path("grid.toml").write_text('seeds = "auto"\n')
    assert grid_config(GridFlags(max_seeds=9), Path("grid.toml")).max_seeds == 9
    for flags in (GridFlags(max_seeds=9), GridFlags(max_seeds=9, seeds=3)):
        with pytest.raises(UsageError, match="--max-seeds is the limit of --seeds auto"):
            grid_config(flags)
