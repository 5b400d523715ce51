"""Configuration files: strict, and said in one sentence what is wrong."""

import inspect
import json
from pathlib import Path

import attrs
import pytest

from optiscope.cli.characterize import characterize
from optiscope.cli.config_file import ELSEWHERE, read_grid, structure_grid
from optiscope.config import GridConfig
from optiscope.errors import UsageError

EVERYTHING = """
optimizers = ["adam"]
batch_sizes = [10, 20]
lrs = [0.1, 1]
seeds = "auto"
confidence = 0.9
max_seeds = 30
model = "paper-cnn"
data = "cifar10"
epochs = 2
train_samples = 1000
reduction = "sum"
order = "reshuffle"
schedule = "constant"
kernels = "im2col"
threads = 2
plugins = ["a.py"]
block = ["b"]
strict = true
budget = 5

[thin]
probe = 2

[options.adam]
beta1 = 0.8
amsgrad = true
name = "x"
count = 4
betas = [0.8, 1]
"""


def write(text: str) -> Path:
    path = Path("grid.toml")
    path.write_text(text)
    return path


def test_every_field():
    grid = read_grid(write(EVERYTHING))
    assert grid == GridConfig(
        optimizers=("adam",),
        batch_sizes=(10, 20),
        lrs=(0.1, 1.0),
        seeds="auto",
        confidence=0.9,
        max_seeds=30,
        model="paper-cnn",
        data="cifar10",
        epochs=2,
        train_samples=1000,
        reduction="sum",
        order="reshuffle",
        kernels="im2col",
        threads=2,
        plugins=("a.py",),
        block=("b",),
        strict=True,
        budget=5,
        thin={"probe": 2},
        options={"adam": {"beta1": 0.8, "amsgrad": True, "name": "x", "count": 4, "betas": (0.8, 1)}},
    )
    assert grid.options["adam"]["amsgrad"] is True
    assert isinstance(grid.lrs[1], float)


@pytest.mark.parametrize(
    "text",
    [
        'optimizers = ["sgd", "adam(betas=[0.8,0.9], beta1=.8)"]',
        'optimizers = ["sgd", {name = "adam", beta1 = 0.8, betas = [0.8, 0.9]}]',
        '[[optimizers]]\nname = "sgd"\n[[optimizers]]\nname = "adam"\nbeta1 = 0.8\nbetas = [0.8, 0.9]',
    ],
)
def test_an_optimizer_may_have_options_of_its_own(text):
    assert read_grid(write(text)).optimizers == ("sgd", "adam(beta1=0.8, betas=[0.8, 0.9])")


def test_models_and_reductions_may_be_several():
    grid = read_grid(write('model = ["a", "b"]\nreduction = ["sum", "mean"]'))
    assert (grid.model, grid.reduction) == (("a", "b"), ("sum", "mean"))


def test_empty_file_is_the_default():
    assert read_grid(write("")) == GridConfig()


def test_round_trip():
    grid = read_grid(write(EVERYTHING))
    document = json.loads(json.dumps(attrs.asdict(grid)))
    assert structure_grid(document, "x") == grid


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("batchsizes = [50]", "unknown key 'batchsizes': did you mean 'batch_sizes'?"),
        ("jobs = 3", "'jobs' is not for a file: give --jobs on the command line"),
        ("time-limit = 3", "'time-limit' is not for a file: give --time-limit on the command line"),
        ("lr = 0.1", "unknown key 'lr': did you mean 'lrs'?"),
        ('batch_sizes = ["50"]', "batch_sizes must be a whole number, not '50'"),
        ("batch_sizes = [50, 0.5]", "batch_sizes must be a whole number, not 0.5"),
        ("batch_sizes = 50", "batch_sizes must be a list in brackets, not 50"),
        ('optimizers = "adam"', "optimizers must be a list in brackets, not 'adam'"),
        ("batch_sizes = []", "batch_sizes must name at least one"),
        ("batch_sizes = [0]", "batch_sizes must be a whole number >= 1, not 0"),
        ("seeds = true", "seeds must be a whole number or 'auto', not True"),
        ('seeds = "many"', "seeds must be a whole number or 'auto', not 'many'"),
        ("confidence = 2", "confidence must be above 0 and below 1, not 2.0"),
        ("lrs = [nan]", "a learning rate must be a finite number above zero, not nan"),
        ('lrs = ["fast"]', "lrs must be a number, not 'fast'"),
        ("model = 3", "model must be a text in quotes, not 3"),
        ("model = [3]", "model must be a text in quotes, not 3"),
        ("optimizers = [3]", "optimizers must be a text in quotes, not 3"),
        ('optimizers = ["adam("]', ": optimizers must be written NAME or NAME(KEY=VALUE, ...), "),
        (
            "[[optimizers]]\nbeta1 = 1",
            ": optimizers must have a name, such as name = 'adam', and {'beta1': 1} has none",
        ),
        ('[[optimizers]]\nname = "adam"\nbeta1 = {}', "beta1 must be a number, a text or true or false, not {}"),
        ('strict = "yes"', "strict must be true or false, not 'yes'"),
        ("steps = 1\nepochs = 1", "steps and epochs exclude each other"),
        ('steps = "1"', "steps must be a whole number, not '1'"),
        ('reduction = "meen"', "reduction"),
        ("[options.adam]\nbeta1 = [[0.9]]", "options.adam.beta1 must be a number, a text or true or false, not [0.9]"),
        ("[options.adam]\nbeta1 = {}", "options.adam.beta1 must be a number, a text or true or false, not {}"),
        ("options = 3", "options must be a table, not 3"),
        ("options.adam = 3", "options.adam must be a table, not 3"),
        ('budget = "5"', "budget must be a number, not '5'"),
        ("budget = 0", "budget must be a percentage above 0 and at most 100, not 0.0"),
        ("thin = 3", "thin must be a table, not 3"),
        ("thin.probe = 2.5", "thin.probe must be a whole number, not 2.5"),
        ("thin.probe = 0", "thin must give probe a whole number >= 1, not 0"),
        ("= 3", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(text, sentence):
    with pytest.raises(UsageError) as caught:
        read_grid(write(text))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("configuration file 'grid.toml'")
    assert "\n" not in str(caught.value)


def test_every_option_of_the_command_is_either_a_key_or_told_to_be_none():
    options = {*inspect.signature(characterize).parameters} - {"flags"}
    assert options == {*ELSEWHERE}
    assert not options & {field.name for field in attrs.fields(GridConfig)}


def test_missing_file():
    with pytest.raises(UsageError, match=r"there is no configuration file 'nowhere\.toml': check the path"):
        read_grid(Path("nowhere.toml"))


def test_folder_in_place_of_a_file(refused, folder):
    (folder / "d").mkdir()
    assert "d: is a directory: name a file, not a folder" in refused("characterize", "--config", "d")
