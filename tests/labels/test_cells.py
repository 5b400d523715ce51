import pytest

from optiscope.labels import Probability, RunVerdict, form_cells, probability

CONFIG = {
    "optimizer": "adam",
    "optimizer_options": {"beta1": 0.9},
    "batch_size": 100,
    "lr": 1e-3,
    "reduction": "mean",
    "model": "small-cnn",
    "data": "synthetic",
}


def run(verdict, seed=0):
    return RunVerdict(
        run_id=f"r{seed}",
        seed=seed,
        path=f"runs/r{seed}.h5",
        status="completed",
        verdict=verdict,
        outcome="trained",
        dynamics="not measured",
        signal="steady",
        why="because",
        first_step=None,
        findings=(),
    )


def cell_of(verdicts, **more):
    runs = [(CONFIG | {"seed": seed}, run(verdict, seed)) for seed, verdict in enumerate(verdicts)]
    (cell,) = form_cells(runs, **more)
    return cell


@pytest.mark.parametrize("verdict", ["stable", "unstable", "undecided"])
def test_one_seed_gives_its_verdict_and_says_so(verdict):
    cell = cell_of([verdict])
    assert (cell.verdict, cell.confidence) == (verdict, "one seed")


@pytest.mark.parametrize(
    ("stable", "unstable", "undecided", "verdict"),
    [
        (3, 0, 0, "undecided"),
        (4, 0, 0, "stable"),
        (0, 3, 0, "undecided"),
        (0, 4, 0, "unstable"),
        (3, 0, 5, "undecided"),
        (4, 0, 5, "stable"),
        (9, 1, 0, "stable"),
        (5, 5, 0, "undecided"),
        (0, 0, 4, "undecided"),
        (1, 0, 1, "undecided"),
    ],
)
def test_a_cell_is_decided_when_the_interval_lies_on_one_side(stable, unstable, undecided, verdict):
    cell = cell_of(["stable"] * stable + ["unstable"] * unstable + ["undecided"] * undecided)
    assert (cell.verdict, cell.confidence) == (verdict, 0.95)
    p = cell.p_unstable
    assert (p.unstable, p.decided, p.undecided) == (unstable, stable + unstable, undecided)


def test_less_confidence_decides_sooner():
    assert cell_of(["stable"] * 3, confidence=0.9).verdict == "stable"


def test_the_mean_is_the_posteriors():
    p = probability([run("unstable"), run("stable"), run("stable"), run("undecided")])
    assert p.mean == pytest.approx(1.5 / 4)
    assert p.low < p.mean < p.high


def test_nothing_decided_leaves_everything_open():
    p = probability([run("undecided")])
    assert (p.mean, p.low, p.high) == (0.5, 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"},
        {"optimizer_options": {"beta1": 0.8}},
        {"batch_size": 50},
        {"lr": 0.1},
        {"reduction": "sum"},
        {"model": "paper-cnn"},
        {"data": "cifar10"},
    ],
)
def test_whatever_a_run_was_makes_a_cell_of_its_own(change):
    assert len(form_cells([(CONFIG, run("stable")), (CONFIG | change, run("stable"))])) == 2


def test_cells_and_runs_come_in_order():
    runs = [
        (CONFIG | {"batch_size": batch, "optimizer": name}, run("stable", seed))
        for name in ("sgd", "adam")
        for batch in (200, 50)
        for seed in (1, 0)
    ]
    cells = form_cells(runs)
    order = [(cell.optimizer, cell.batch_size) for cell in cells]
    assert order == [("adam", 50), ("adam", 200), ("sgd", 50), ("sgd", 200)]
    assert [found.seed for found in cells[0].runs] == [0, 1]


def test_optimizers_come_in_the_order_that_is_asked_for_and_the_others_after_them_by_name():
    runs = [(CONFIG | {"optimizer": name, "batch_size": 50}, run("stable")) for name in ("b", "sgd", "adam", "a")]
    cells = form_cells(runs, order=("sgd", "adam", "absent"))
    assert [cell.optimizer for cell in cells] == ["sgd", "adam", "a", "b"]


def test_one_optimizer_with_several_options_comes_as_it_was_asked_for():
    """The options of a run are all that it had, those of an optimizer in the order only what was given."""
    settings = [{"beta1": b, "betas": [0.8, 0.9]} for b in (0.7, 0.8, 0.9)]
    runs = [(CONFIG | {"optimizer_options": each, "lr": lr}, run("stable")) for each in settings for lr in (1.0, 2.0)]
    order = ("adam(beta1=0.8, betas=[0.8, 0.9])", "adam", "adam(beta1=0.7, lr=2.0)")
    cells = form_cells(runs, order=order)
    assert [(cell.options["beta1"], cell.lr) for cell in cells] == [
        *((0.8, 1.0), (0.8, 2.0)),
        *((0.7, 1.0), (0.9, 1.0), (0.9, 2.0)),
        (0.7, 2.0),
    ]


@pytest.mark.parametrize(
    ("stable", "unstable", "undecided", "why"),
    [
        (3, 0, 0, "none of 3 runs is unstable: P(unstable) is below 0.54 with 97.5 %"),
        (5, 0, 0, "none of 5 runs is unstable: P(unstable) is below 0.38 with 97.5 %"),
        (10, 0, 0, "none of 10 runs is unstable: P(unstable) is below 0.22 with 97.5 %"),
        (20, 0, 0, "none of 20 runs is unstable: P(unstable) is below 0.12 with 97.5 %"),
        (30, 0, 0, "none of 30 runs is unstable: P(unstable) is below 0.08 with 97.5 %"),
        (0, 5, 0, "all 5 runs are unstable: P(unstable) is above 0.62 with 97.5 %"),
        (5, 0, 2, "none of 5 decided runs is unstable: P(unstable) is below 0.38 with 97.5 %, 2 more undecided"),
        (7, 3, 0, "3 of 10 runs are unstable: P(unstable) is between 0.09 and 0.61 with 95 %"),
        (9, 1, 0, "1 of 10 runs is unstable: P(unstable) is between "),
        (1, 0, 1, "the only decided run is stable: P(unstable) is below 0.85 with 97.5 %"),
        (0, 1, 1, "the only decided run is unstable: P(unstable) is above 0.15 with 97.5 %"),
        (0, 0, 2, "2 of 2 runs are undecided, the first because because"),
        (
            1,
            1,
            9,
            "9 of 11 runs are undecided, the first because because; 1 of 2 decided runs is unstable: P(unstable) ",
        ),
    ],
)
def test_a_cell_says_why(stable, unstable, undecided, why):
    """The bounds of SCIENCE.md, part 6; 0.09 to 0.61 from Brown, Cai, DasGupta 2001, table 5."""
    assert cell_of(["stable"] * stable + ["unstable"] * unstable + ["undecided"] * undecided).why.startswith(why)


@pytest.mark.parametrize(
    ("verdicts", "ending"),
    [
        (["undecided", *["stable"] * 4], ", 1 more undecided; seed 1: because"),
        (["stable", "unstable", *["unstable"] * 8], "; seed 1: because"),
        (["stable"] * 3, "which leaves both sides of 0.5 open after 3 seeds: more seeds may decide"),
        (["stable", "undecided"], "more seeds may decide; 1 of 2 runs are undecided, the first because because"),
        (["stable"], "because"),
    ],
)
def test_the_reason_ends_with_that_of_a_run_or_with_what_may_be_done(verdicts, ending):
    assert cell_of(verdicts).why.endswith(ending)


def test_the_confidence_of_a_bound_is_that_of_one_side():
    cell = cell_of(["stable"] * 5, confidence=0.9)
    assert "with 95 %" in cell.why
    assert (cell.p_unstable.confidence, cell.confidence, cell.seeds) == (0.9, 0.9, 5)
    assert cell_of(["stable"], confidence=0.9).p_unstable.confidence == 0.9


@pytest.mark.parametrize(
    ("unstable", "decided", "undecided", "confidence", "unsettled"),
    [
        (0, 0, 0, 0.95, True),
        (0, 3, 0, 0.95, True),
        (0, 4, 0, 0.95, False),
        (4, 4, 0, 0.95, False),
        (2, 4, 0, 0.95, True),
        (0, 0, 3, 0.95, True),
        (0, 0, 4, 0.95, False),
        (0, 0, 3, 0.9, False),
        (0, 2, 3, 0.95, True),
        (0, 1, 7, 0.95, False),
        (0, 2, 7, 0.95, True),
    ],
)
def test_more_seeds_may_decide_unless_they_have_or_most_runs_are_undecided(
    unstable, decided, undecided, confidence, unsettled
):
    """That most are undecided takes what it takes to be unstable: 4 of 4, 7 of 8, but not 7 of 9."""
    assert Probability.of(unstable, decided, undecided, confidence).unsettled is unsettled
