"""What several commands ask for: a grid of runs, from flags and a configuration file.

`GridFlags` has the fields of `optiscope.config.GridConfig` under the same names, all optional, so that what was
given on the command line can be told from what was not; `CommonFlags` are those that other commands share. A
configuration file (TOML) has those fields too. The layers, each winning over the one before: the defaults of
`GridConfig`, the file, the flags.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import attrs
from cyclopts import Group, Parameter, Token

from optiscope.config import DEFAULT_STEPS, GridConfig, Options, Reduction, Seeds, Value, parse_value
from optiscope.errors import UsageError

GRID = Group("What is compared", sort_key=1)
RUN = Group("What every run has in common", sort_key=2)
PIECES = Group("Pieces and plugins", sort_key=3)
OUTPUT = Group("Output", sort_key=4)


def flag(
    group: Group, help_text: str, metavar: str | None = None, default: str | bool = False, **more: Any
) -> Parameter:
    """Return how a flag is shown: where, what it is for, and its default."""
    return Parameter(group=group, help=help_text, metavar=metavar, show_default=default, **more)


def whole(kind: Any, tokens: Sequence[Token]) -> Any:
    """Return the whole numbers that were typed: a tuple of them for an option that takes several, else the one.

    Without this, 2.5 would be taken for 2.
    """
    numbers = tuple(map(_whole, tokens))
    several = any(get_origin(choice) is tuple for choice in (kind, *get_args(kind)))
    return numbers if several else numbers[0]


def _whole(token: Token) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", token.value):
        raise UsageError(f"{token.keyword} takes whole numbers, not '{token.value}': write 100, for example")
    return int(token.value)


def number_or_auto(kind: Any, tokens: Sequence[Token]) -> Seeds:
    """Return the whole number that was typed, or "auto"."""
    (token,) = tokens
    if token.value == "auto":
        return "auto"
    if not re.fullmatch(r"[+-]?[0-9]+", token.value):
        raise UsageError(f"{token.keyword} takes a whole number or 'auto', not '{token.value}': write 5, for example")
    return int(token.value)


WHOLE = Parameter(converter=whole)


def default_of(field: str) -> str:
    """Return the default of a field of `GridConfig` as one would type it."""
    default = attrs.fields_dict(GridConfig)[field].default
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)


SET = flag(PIECES, "Options of any named piece, such as adam.beta1=0.8.", "NAME.KEY=VALUE...", name="--set")
FILES = flag(PIECES, "Plugins in single files.", "FILE...", name="--plugin")
BLOCK = flag(PIECES, "Installed plugins not to load.", "NAME...", name="--no-plugin")
BUDGET = flag(
    PIECES, "What a recorder may cost, in percent of a step; one that costs more is thinned.", "PERCENT", "no limit"
)
THIN = flag(PIECES, "Take only every K-th row of a recorder.", "NAME=K...")
TIME_LIMIT = flag(
    PIECES,
    "What a run may take; one that takes longer is ended, and tried once more from its last state.",
    "SECONDS",
    "no limit",
)
STRICT = flag(PIECES, "Stop where a plugin is broken.")
JSON = flag(OUTPUT, "Print one JSON document; messages go to stderr.")


def check_workers(jobs: int | None, time_limit: float | None = None) -> None:
    """Raise UsageError for --jobs and --time-limit that no executor can have."""
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be a whole number >= 1, not {jobs}")
    if time_limit is not None and not 0 < time_limit < math.inf:
        raise UsageError(f"--time-limit must be a number of seconds above 0, not {time_limit:g}")


def _grid(field: str, help_text: str, metavar: str | None = None, group: Group = RUN) -> Parameter:
    return flag(group, help_text, metavar, default_of(field))


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class CommonFlags:
    """The flags that describe a grid, but for its learning rates and seeds; None means not given."""

    optimizers: Annotated[
        tuple[str, ...] | None,
        _grid(
            "optimizers",
            "Optimizers to compare, separated by spaces; with options of its own as 'adam(beta1=0.8)'.",
            "NAME...",
            GRID,
        ),
    ] = None
    model: Annotated[
        tuple[str, ...] | None,
        _grid("model", "Networks: 'small-cnn' is quick, 'paper-cnn' is the paper's.", "NAME...", GRID),
    ] = None
    reduction: Annotated[
        tuple[Reduction, ...] | None,
        _grid("reduction", "How losses are reduced over a batch; the paper's own program sums.", group=GRID),
    ] = None
    batch_sizes: Annotated[
        tuple[int, ...] | None,
        _grid("batch_sizes", "Images in a batch; every optimizer runs at each.", "N...", GRID),
        WHOLE,
    ] = None
    data: Annotated[
        str | None,
        _grid(
            "data",
            "'synthetic' is made on the spot, 'cifar10' was fetched before by 'optiscope data fetch cifar10', and a "
            "path leads to a folder in CIFAR-10's binary layout.",
            "NAME|PATH",
        ),
    ] = None
    steps: Annotated[
        int | None, flag(RUN, "Updates in a run; epochs repeat as needed.", "N", str(DEFAULT_STEPS)), WHOLE
    ] = None
    epochs: Annotated[int | None, flag(RUN, "Whole epochs in a run, instead of --steps.", "N"), WHOLE] = None
    train_samples: Annotated[int | None, flag(RUN, "Use only the first N training images.", "N", "all"), WHOLE] = None
    order: Annotated[
        Literal["paper", "reshuffle"] | None,
        _grid("order", "'paper' cuts batches once and shuffles them; 'reshuffle' shuffles all images every epoch."),
    ] = None
    schedule: Annotated[str | None, _grid("schedule", "How the learning rate changes over a run.", "NAME")] = None

    options: Annotated[tuple[str, ...] | None, SET] = None
    kernels: Annotated[str | None, _grid("kernels", "The implementation of the layers.", "NAME", PIECES)] = None
    threads: Annotated[int | None, _grid("threads", "Threads that share the batches of a run.", "N", PIECES), WHOLE] = (
        None
    )
    plugins: Annotated[tuple[str, ...] | None, FILES] = None
    block: Annotated[tuple[str, ...] | None, BLOCK] = None
    strict: Annotated[bool | None, STRICT] = None
    budget: Annotated[float | None, BUDGET] = None
    thin: Annotated[tuple[str, ...] | None, THIN] = None


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class GridFlags(CommonFlags):
    """The flags that describe a grid; None means not given."""

    lrs: Annotated[
        tuple[float, ...] | None,
        flag(GRID, "Learning rates; every optimizer runs at each.", "LR...", "each optimizer's own"),
    ] = None
    seeds: Annotated[
        Seeds | None,
        _grid("seeds", "Runs in a cell, with seeds 0, 1, 2 ...; 'auto': as few as decide it.", "N|auto", GRID),
        Parameter(converter=number_or_auto, show_choices=False),
    ] = None
    confidence: Annotated[
        float | None, _grid("confidence", "That of the intervals on P(unstable), which decide.", "SHARE", GRID)
    ] = None
    max_seeds: Annotated[
        int | None, _grid("max_seeds", "Runs that a cell has at most with --seeds auto.", "N", GRID), WHOLE
    ] = None


def grid_config(flags: CommonFlags, file: Path | None = None) -> GridConfig:
    """Return the grid that `flags` ask for, on top of the one in `file`.

    Options are laid over each other one by one; steps given as a flag take the place of epochs in the file, and the
    other way round. Raises `UsageError` for what the file or `GridConfig` refuses.
    """
    from optiscope.cli.config_file import read_grid

    base = read_grid(file) if file else GridConfig()
    given = {name: value for name, value in attrs.asdict(flags, recurse=False).items() if value is not None}
    if "steps" in given or "epochs" in given:
        given = {"steps": None, "epochs": None} | given
    options = lay_over(base.options, parse_options(given.pop("options", ())))
    if "thin" in given:
        given["thin"] = parse_factors(given["thin"])
    if "max_seeds" in given and given.get("seeds", base.seeds) != "auto":
        raise UsageError("--max-seeds is the limit of --seeds auto: give both, or neither")
    return evolved(base, **given, options=options)


def evolved(grid: GridConfig, **changes: Any) -> GridConfig:
    """Return `grid` with `changes`; UsageError, in the words of the command line, for what `GridConfig` refuses."""
    try:
        return attrs.evolve(grid, **changes)
    except ValueError as error:
        raise UsageError(_as_flag(str(error))) from None


def _as_flag(sentence: str) -> str:
    """Say `--batch-sizes` where a validator says `batch_sizes`."""
    field, space, rest = sentence.partition(" ")
    if field in attrs.fields_dict(GridConfig) and rest.startswith("must"):
        return f"--{field.replace('_', '-')}{space}{rest}"
    return sentence


def lay_over(below: Options, above: Options) -> Options:
    """Return the options in either; those in `above` win."""
    return {name: {**below.get(name, {}), **above.get(name, {})} for name in {**below, **above}}


def parse_options(assignments: tuple[str, ...]) -> dict[str, dict[str, Value]]:
    """Turn `("adam.beta1=0.8",)` into `{"adam": {"beta1": 0.8}}`."""
    options: dict[str, dict[str, Value]] = {}
    for assignment in assignments:
        left, equals, text = assignment.partition("=")
        name, dot, option = left.strip().rpartition(".")
        if not (equals and dot and name and option):
            raise UsageError(f"--set takes NAME.KEY=VALUE, such as adam.beta1=0.8, not '{assignment}'")
        options.setdefault(name, {})[option] = parse_value(text.strip())
    return options


def parse_factors(assignments: tuple[str, ...]) -> dict[str, int]:
    """Turn `("probe=5",)` into `{"probe": 5}`."""
    factors = {}
    for assignment in assignments:
        name, _, text = assignment.rpartition("=")
        if not name or not re.fullmatch(r"[0-9]+", text):
            raise UsageError(f"--thin takes NAME=K with a whole number K, such as probe=5, not '{assignment}'")
        factors[name] = int(text)
    return factors
