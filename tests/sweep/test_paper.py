import json

import attrs
import pytest

from optiscope.errors import UsageError
from optiscope.hooks import create_manager
from optiscope.hooks.discovery import DISABLE
from optiscope.labels.claims import BATCH_SIZES, CLAIMS
from optiscope.labels.reproduction import FILE_NAME, MEASURES, reproduction, summed
from optiscope.sweep import paper
from optiscope.sweep.folder import GRID, open_folder
from optiscope.sweep.grid import expand
from optiscope.sweep.paper import PARTS, SCALES, check_parts, go_on, left_out, parts, run_parts
from optiscope.sweep.progress import GridProgress


@pytest.mark.parametrize("scale", SCALES)
def test_every_setting_that_the_paper_leaves_open_is_run(scale):
    found = {part.name: part.grid for part in parts(scale, "cifar10")}
    assert {"sgd-sum", "sgd-mean", "adam-sum", "adam-mean", "others-sum"} <= set(found) <= set(PARTS)
    for name, grid in found.items():
        assert grid.batch_sizes == BATCH_SIZES
        assert name.endswith(grid.reduction[0])
        assert grid.model == ("paper-cnn",)
    assert found["adam-sum"].optimizers == ("adam", "adam-inside")
    # one batch of 100 moves as far under either reduction
    assert found["sgd-mean"].lrs == pytest.approx([100 * lr for lr in found["sgd-sum"].lrs])
    others = {run.optimizer: run.lr for run in expand(found["others-sum"])}
    assert others == {"nag": create_manager().build("optimizers", "nag", {}).lr / 100, "rmsprop": None, "adagrad": None}


@pytest.mark.parametrize("scale", SCALES)
def test_lines_of_equal_step_lead_through_the_scan(scale):
    grid = next(part.grid for part in parts(scale, "cifar10") if part.name == "sgd-sum")
    steps = [round(run.batch_size * run.lr, 9) for run in expand(grid) if run.seed == 0]
    assert max(map(steps.count, steps)) == 3


def test_quick_says_what_it_leaves_out_and_full_leaves_nothing_out():
    quick = left_out("quick", parts("quick", "cifar10"))
    assert [line for line in quick if "seed" in line] == [
        "2 seeds of sgd-sum, adam-sum, sgd-mean, adam-mean: it takes 4 that agree to decide a cell",
        "1 seed of others-sum: it takes 4 that agree to decide a cell",
    ]
    assert left_out("full", parts("full", "cifar10")) == ()


def test_as_many_seeds_as_are_asked_for():
    more = parts("quick", "cifar10", seeds=4)
    assert {part.grid.seeds for part in more} == {4}
    assert not any("seed" in line for line in left_out("quick", more))


def test_another_scale_is_refused():
    with pytest.raises(UsageError, match="--scale must be quick or full, not 'huge'"):
        parts("huge", "cifar10")


def begin(planned, out):
    """Leave in `out` what a reproduction does that was interrupted at once."""
    for part in planned:
        open_folder(out / part.name, part.grid, create_manager().active)


def small(scale, **common):
    return tuple(
        attrs.evolve(part, grid=attrs.evolve(part.grid, train_samples=part.grid.train_samples and 1000))
        for part in parts(scale, "synthetic", model="logistic", **common)
    )


@pytest.mark.parametrize(("was", "now"), [("quick", "full"), ("full", "quick")])
def test_another_scale_than_was_begun_is_told_as_such(tmp_path, monkeypatch, was, now):
    monkeypatch.setitem(SCALES, "quick", attrs.evolve(SCALES["quick"], train_samples=1000))
    begin(small(was)[:1], tmp_path)
    mend = f"--resume: --scale is {now} now and was {was} in {tmp_path}: give --scale {was}, or another --out"
    with pytest.raises(UsageError) as error:
        check_parts(small(now), tmp_path, resume=True)
    assert str(error.value) == mend


@pytest.mark.parametrize(
    ("field", "was", "mend"),
    [("data", "images", "give --data images, or use another --out"), ("kernels", "auto", "use another --out")],
)
def test_what_no_option_of_the_command_can_mend_is_not_told_to_be_given(tmp_path, field, was, mend):
    begin(small("full")[:1], tmp_path)
    path = tmp_path / "sgd-sum" / GRID
    held = json.loads(path.read_text())
    held["grid"][field] = was
    path.write_text(json.dumps(held))
    with pytest.raises(UsageError, match=rf"--resume: {field} is .* now and was '{was}' in .*: {mend}$"):
        check_parts(small("full"), tmp_path, resume=True)


def test_a_later_part_is_checked_before_an_earlier_one_runs(tmp_path):
    (tmp_path / "others-sum").mkdir()
    (tmp_path / "others-sum" / "report.html").write_text("somebody's")
    with pytest.raises(UsageError, match=r"others-sum holds report\.html"):
        check_parts(small("full"), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file is a file"):
        check_parts(small("full"), tmp_path / "file")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "others-sum", "report.html"]


def test_of_a_package_that_is_there_but_blocked_the_host_tells(monkeypatch):
    monkeypatch.setenv(DISABLE, "optiscope-optimizers")
    with pytest.raises(UsageError, match=r"unknown optimizer 'nag': .* optiscope-optimizers is blocked: see optiscope"):
        check_parts(small("full"))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("seeds", [None, 1, 7])
def test_the_command_that_goes_on_asks_for_what_was_begun(tmp_path, scale, seeds):
    out = tmp_path / "a folder"
    assert go_on(out) == ""
    planned = parts(scale, "my data", seeds=seeds)
    for part in planned[:3]:
        begin([attrs.evolve(part, grid=attrs.evolve(part.grid, kernels="reference"))], out)
    more = f" --seeds {seeds}" if seeds else ""
    asked = f"optiscope reproduce paper --data 'my data' --scale {scale}{more} --out '{out}' --resume"
    assert go_on(out) == asked


def test_the_parts_to_come_take_as_long_a_run_as_those_until_now(tmp_path, monkeypatch):
    planned = small("quick")[:3]
    later, clocks = [], iter([(10.0, 20.0), (20.0, 4.0), (6.0, None), (8.0, 40.0), (5.0, 1.0)])

    def characterize(grid, out, *, on_progress, **_):
        for elapsed, remaining in [next(clocks) for _ in range(1 if out.name == planned[2].name else 2)]:
            on_progress(GridProgress(cells=(), elapsed=elapsed, remaining=remaining))

    monkeypatch.setattr(paper, "characterize", characterize)
    run_parts(planned, tmp_path, on_part=lambda _: lambda progress: later.append(progress.later))
    one, two, three = (len(expand(part.grid)) for part in planned)
    first = [seconds / one * (two + three) for seconds in (30, 24)]
    assert later == [*first, None, pytest.approx((20 + 48) / (one + two) * three), None]


def test_runs_that_are_finished_are_none_to_come(tmp_path, monkeypatch):
    planned, told = small("quick")[:3], []
    runs = tmp_path / planned[1].name / "runs"
    runs.mkdir(parents=True)
    for number in range(len(expand(planned[1].grid)) - 1):
        (runs / f"{number}.h5").write_text("")
    monkeypatch.setattr(paper, "is_finished", lambda path: path.stem != "0")
    monkeypatch.setattr(paper, "characterize", lambda *_, on_progress, **__: on_progress(progress))
    progress = GridProgress(cells=(), elapsed=1.0, remaining=1.0)
    run_parts(planned, tmp_path, on_part=lambda _: told.append)
    one, three = (len(expand(planned[index].grid)) for index in (0, 2))
    assert told[0].later == pytest.approx(2 / one * (2 + three))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The parts that sum gradients, on a model that trains in milliseconds."""
    out = tmp_path_factory.mktemp("paper")
    small = [part for part in parts("quick", "synthetic", model="logistic") if part.name in ("sgd-sum", "adam-sum")]
    planned = tuple(
        attrs.evolve(part, grid=attrs.evolve(part.grid, train_samples=None, steps=50, seeds=1)) for part in small
    )
    run_parts(planned, out, executor="in-process")
    return planned, out, reproduction(out)


def test_every_setting_is_compared_with_every_claim(done):
    _, _, found = done
    settings = {(each.reduction, each.lr, each.epsilon) for each in found.settings}
    assert len(settings) == len(found.settings) == 3 * 2
    assert all([one.claim for one in each.agreements] == list(CLAIMS) for each in found.settings)


def test_the_loss_says_that_logistic_regression_goes_by_the_effective_step(done):
    _, _, found = done
    assert set(found.steps) == set(MEASURES)
    loss = found.steps["loss"]
    assert loss.seeds is None  # one seed
    assert loss.along < loss.across / 2
    assert loss.share_interval[1] < 1


def test_runs_with_the_mean_count_at_the_learning_rate_of_sums(done):
    _, _, found = done
    cells = found.cells["sgd-sum"]
    mean = [attrs.evolve(cell, lr=cell.lr * cell.batch_size, reduction="mean") for cell in cells]
    runs = [*summed({"sgd-sum": cells})]
    assert len(runs) == len(cells)
    for one, other in zip(runs, summed({"sgd-mean": mean}), strict=True):
        assert one == (other[0], pytest.approx(other[1]), other[2])


def test_the_document_holds_all_of_it_and_no_number_that_json_lacks(done):
    _, out, found = done
    document = json.loads(found.write(out))
    assert document == json.loads((out / FILE_NAME).read_text())
    assert {part: len(cells) for part, cells in document["cells"].items()} == {"sgd-sum": 3 * 4, "adam-sum": 2 * 4}
    assert document["effective_step"]["loss"]["says"] == found.steps["loss"].says


def test_going_on_with_all_that_is_done_runs_nothing(done):
    planned, out, found = done
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/runs/*.h5")}
    assert before
    run_parts(planned, out, executor="in-process", resume=True)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/runs/*.h5")} == before
    assert reproduction(out) == found


def test_a_folder_without_any_part_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no"):
        reproduction(tmp_path)
