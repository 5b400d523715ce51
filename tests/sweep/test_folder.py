import json

import attrs
import pytest

from optiscope.config import GridConfig
from optiscope.errors import FileError, UsageError
from optiscope.records import PluginInfo
from optiscope.storage import RunWriter
from optiscope.storage.files import Lock
from optiscope.sweep import plan
from optiscope.sweep.folder import check_folder, open_folder

GRID = GridConfig(optimizers=["sgd"], batch_sizes=[50], lrs=[0.1])
PLUGINS = (PluginInfo(name="theirs", version="1", origin="test"),)


def begun(tmp_path):
    open_folder(tmp_path / "out", GRID, PLUGINS)
    return tmp_path / "out"


def test_a_folder_that_was_begun_is_refused(tmp_path):
    out = begun(tmp_path)
    before = (out / "grid.json").read_bytes()
    with pytest.raises(UsageError, match=r"--resume.*--overwrite"):
        open_folder(out, attrs.evolve(GRID, seeds=3), PLUGINS)
    assert (out / "grid.json").read_bytes() == before


def test_resume_begins_where_nothing_was_begun(tmp_path):
    assert open_folder(tmp_path / "new", GRID, PLUGINS, resume=True).is_dir()


@pytest.mark.parametrize(
    "changes",
    [
        *({"seeds": 5}, {"lrs": [0.1, 0.2]}, {"batch_sizes": [100, 50]}, {"optimizers": ["adam", "sgd"]}, {}),
        *({"seeds": "auto"}, {"confidence": 0.5}, {"seeds": "auto", "max_seeds": 7}),
        *({"optimizers": ["sgd(weight_decay=0.1)", "sgd"]}, {"model": ["quadratic", "small-cnn"]}),
        *({"reduction": ["mean", "sum"]}, {"plugins": ["mine.py", "theirs.py"]}, {"steps": 400}),
    ],
)
def test_resume_takes_longer_axes(tmp_path, changes):
    out = begun(tmp_path)
    open_folder(out, attrs.evolve(GRID, **changes), PLUGINS, resume=True)
    held = json.loads((out / "grid.json").read_text())["grid"]
    assert all(held[name] == value for name, value in changes.items())


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"lrs": [0.2]}, "lrs"),
        ({"lrs": []}, "lrs"),
        ({"optimizers": ["adam"]}, "optimizers"),
        ({"steps": 7}, "steps is 7 now and was 400"),
        ({"steps": 7}, ": give --steps 400, or use another --out"),
        ({"epochs": 1}, "epochs is 1 now and was None"),
        ({"kernels": "im2col"}, "kernels is 'im2col' now and was 'auto' in "),
        ({"kernels": "im2col"}, ": give --kernels auto, or use another --out"),
        ({"model": "paper-cnn"}, "model may grow but not lose or replace values, and was ['small-cnn']"),
        ({"reduction": "sum"}, "reduction may grow"),
        ({"optimizers": ["sgd(weight_decay=0.1)"]}, "optimizers may grow"),
        ({"options": {"sgd": {"weight_decay": 1.0}}}, "options"),
    ],
)
def test_resume_refuses_any_other_difference_by_name(tmp_path, changes, part):
    out = begun(tmp_path)
    with pytest.raises(UsageError) as raised:
        open_folder(out, attrs.evolve(GRID, **changes), PLUGINS, resume=True)
    assert part in str(raised.value)


CNN, BOTH = {"small-cnn": "numba"}, {"small-cnn": "numba", "quadratic": "winograd"}
"""What each model runs on where numba is there: a problem without images has no use for it."""


@pytest.mark.parametrize(
    ("was", "now", "refused"),
    [
        ({"quadratic": "winograd"}, BOTH, ""),
        (CNN, BOTH, ""),
        (BOTH, BOTH, ""),
        ({"quadratic": "im2col"}, BOTH, "kernels is 'winograd' now and was 'im2col' in .*: give --kernels im2col"),
        ({"quadratic": "winograd"}, {**BOTH, "quadratic": "numba"}, "kernels is 'numba' now and was 'winograd'"),
        (CNN, {"small-cnn": "winograd", "quadratic": "winograd"}, "kernels is 'winograd' now and was 'numba'"),
        (BOTH, {**BOTH, "quadratic": "numba"}, "kernels is 'numba' now and was 'winograd'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("older", [False, True])
def test_what_is_there_keeps_its_kernels_and_other_models_have_theirs(tmp_path, was, now, refused, older):
    """An older folder has one name for all, the first here; then those of problems beside networks are not known."""

    def grid(kernels):
        return attrs.evolve(GRID, model=sorted(kernels), kernels=next(iter(kernels.values())))

    open_folder(tmp_path, grid(was), PLUGINS, kernels=was)
    if older:
        record = json.loads((tmp_path / "grid.json").read_text())
        del record["kernels"]
        (tmp_path / "grid.json").write_text(json.dumps(record))
    if not refused or (older and was == BOTH):
        assert check_folder(tmp_path, grid(now), PLUGINS, resume=True, kernels=now) == grid(now)
    else:
        with pytest.raises(UsageError, match=refused):
            check_folder(tmp_path, grid(now), PLUGINS, resume=True, kernels=now)


@pytest.mark.parametrize(
    ("was", "now", "refused"),
    [
        ({"steps": 400}, {}, ""),
        ({"steps": 7}, {}, "steps is 400 now and was 7 in .*: give --steps 7, or use another --out"),
        ({"epochs": 1}, {}, "epochs is None now and was 1 in .*: give --epochs 1, or use another --out"),
        ({"epochs": 1}, {"steps": 400}, "steps is 400 now and was None"),
        ({"plugins": ["b.py"]}, {"plugins": ["a.py", "b.py"]}, ""),
        ({"plugins": ["b.py"]}, {"plugins": ["a.py"]}, r"plugins may grow but not lose .* was \['b.py'\] in"),
        ({"plugins": ["b.py"]}, {}, "plugins may grow"),
    ],
    ids=str,
)
def test_what_is_meant_is_compared(tmp_path, was, now, refused):
    open_folder(tmp_path, attrs.evolve(GRID, **was), PLUGINS)
    asked = attrs.evolve(GRID, **now)
    if not refused:
        assert check_folder(tmp_path, asked, PLUGINS, resume=True) == asked
    else:
        with pytest.raises(UsageError, match=f"--resume: {refused}"):
            check_folder(tmp_path, asked, PLUGINS, resume=True)


@pytest.mark.parametrize(
    ("begun", "lrs", "taken"),
    [
        ("sgd adam", [0.1, 0.01, 0.001], True),
        ("sgd adam", [0.01, 0.1], False),
        ("sgd", [0.01], True),
        ("sgd", [0.1], False),
        ("", [0.1], True),
        ("sgd adam(lr=0.5)", [0.01], True),
        ("adam(lr=0.5)", [0.1], True),
    ],
)
def test_learning_rates_may_be_given_where_those_that_ran_are_among_them(tmp_path, begun, lrs, taken):
    """Without any, sgd ran at 0.01 and adam at 0.001; one that spells its own keeps it whatever is given."""
    own = attrs.evolve(GRID, model="quadratic", optimizers=begun.split() or ["sgd"], lrs=[])
    runs = open_folder(tmp_path, own, PLUGINS)
    for run in plan(own) if begun else ():
        RunWriter.create(runs / f"{run.info.run_id}.h5", run.info, run.signals).close()
    asked = attrs.evolve(own, lrs=lrs)
    if taken:
        assert check_folder(tmp_path, asked, PLUGINS, resume=True) == asked
    else:
        was = {"sgd": r"\[0.01\]", "sgd adam": r"\[0.001, 0.01\]"}[begun]
        with pytest.raises(UsageError, match=f"lrs may grow but not lose or replace values, and was {was} in"):
            check_folder(tmp_path, asked, PLUGINS, resume=True)


def test_resume_refuses_fewer_seeds(tmp_path):
    open_folder(tmp_path, attrs.evolve(GRID, seeds=3), PLUGINS)
    with pytest.raises(UsageError, match="seeds may grow"):
        open_folder(tmp_path, GRID, PLUGINS, resume=True)


@pytest.mark.parametrize(("there", "asked", "taken"), [(0, 1, True), (3, 3, True), (3, 4, True), (3, 2, False)])
def test_seeds_that_were_added_are_not_lost(tmp_path, there, asked, taken):
    """How many a cell got is known from the runs that were begun."""
    auto = attrs.evolve(GRID, model="quadratic", seeds="auto")
    runs = open_folder(tmp_path, auto, PLUGINS)
    for run in plan(attrs.evolve(auto, seeds=3))[:there]:
        RunWriter.create(runs / f"{run.info.run_id}.h5", run.info, run.signals).close()
    (runs / "damaged.h5").write_bytes(b"not HDF5")
    asked = attrs.evolve(auto, seeds=asked)
    if taken:
        assert check_folder(tmp_path, asked, PLUGINS, resume=True) == asked
    else:
        with pytest.raises(UsageError, match=rf"--resume: seeds may grow .* was 3 in {tmp_path}, not 2: use another"):
            check_folder(tmp_path, asked, PLUGINS, resume=True)


def test_a_record_of_before_there_was_a_confidence_is_resumed(tmp_path):
    out = begun(tmp_path)
    record = json.loads((out / "grid.json").read_text())
    del record["grid"]["confidence"], record["grid"]["max_seeds"]
    (out / "grid.json").write_text(json.dumps(record))
    open_folder(out, GRID, PLUGINS, resume=True)
    assert json.loads((out / "grid.json").read_text())["grid"]["confidence"] == 0.95


@pytest.mark.parametrize(
    "changes", [{}, {"model": ["small-cnn", "quadratic"]}, {"reduction": ["mean", "sum"]}], ids=str
)
def test_a_record_of_before_there_were_several_models_is_resumed(tmp_path, changes):
    out = begun(tmp_path)
    record = json.loads((out / "grid.json").read_text())
    record["grid"] |= {"model": "small-cnn", "reduction": "mean"}
    (out / "grid.json").write_text(json.dumps(record))
    open_folder(out, attrs.evolve(GRID, **changes), PLUGINS, resume=True)
    with pytest.raises(UsageError, match="model may grow"):
        open_folder(out, attrs.evolve(GRID, model="paper-cnn"), PLUGINS, resume=True)


def test_resume_refuses_a_plugin_of_another_version(tmp_path):
    out = begun(tmp_path)
    with pytest.raises(UsageError, match=r"plugin theirs was 1 .* is 2 now"):
        open_folder(out, GRID, (attrs.evolve(PLUGINS[0], version="2"),), resume=True)


def test_overwrite_clears_what_is_ours_and_nothing_else(tmp_path):
    out = begun(tmp_path)
    drawn = ("report.html", "report.md", "card-adam.html", "report-figures/map-1.svg", "card-adam-figures/map-1.csv")
    for name in ("characterization.json", *drawn, "runs/a.h5", "runs/a.h5.tmp", "runs/b.h5.lock"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("old")
    (out / "notes.txt").write_text("mine")
    open_folder(out, GRID, PLUGINS, overwrite=True)
    left = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert left == ["grid.json", "notes.txt"]


@pytest.mark.parametrize(
    "axes", [{"seeds": "one"}, {"seeds": None}, {"optimizers": 3}, {"lrs": {}}, {"batch_sizes": None}, {"plugins": 3}]
)
def test_a_record_of_other_types_is_one_sentence(tmp_path, axes):
    out = begun(tmp_path)
    record = json.loads((out / "grid.json").read_text())
    record["grid"] |= axes
    (out / "grid.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="is missing or damaged"):
        open_folder(out, GRID, PLUGINS, resume=True)


@pytest.mark.parametrize("flags", [{}, {"resume": True}])
def test_a_damaged_record_is_one_sentence(tmp_path, flags):
    out = begun(tmp_path)
    (out / "grid.json").write_text("{")
    with pytest.raises(UsageError, match="overwrite"):
        open_folder(out, GRID, PLUGINS, **flags)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        open_folder(tmp_path / "out", GRID, PLUGINS)


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    with pytest.raises(UsageError, match="exclude"):
        open_folder(tmp_path, GRID, PLUGINS, resume=True, overwrite=True)


def test_a_folder_that_cannot_be_written_names_its_path(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(FileError, match="Read-only file system") as raised:
        open_folder(tmp_path / "out", GRID, PLUGINS)
    assert str(tmp_path / "out") in str(raised.value)


@pytest.mark.parametrize("name", ["report.html", "characterization.json", "runs/theirs.h5"])
@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}], ids=str)
def test_somebody_elses_files_are_left_alone(tmp_path, name, flags):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("theirs")
    with pytest.raises(UsageError, match=rf"holds {name} but no grid\.json"):
        open_folder(tmp_path / "out", GRID, PLUGINS, **flags)
    assert [found for found in (tmp_path / "out").rglob("*") if found.is_file()] == [path]
    assert path.read_text() == "theirs"


def test_a_folder_with_other_files_only_may_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert open_folder(tmp_path, GRID, PLUGINS).is_dir()


def test_overwrite_touches_nothing_while_another_process_writes(tmp_path):
    out = begun(tmp_path)
    for name in ("report.html", "runs/a.h5", "runs/b.h5", "runs/b.h5.lock"):
        (out / name).write_text("old")
    lock = Lock(out / "runs" / "a.h5")
    with pytest.raises(FileError, match=r"another process is writing .*a\.h5"):
        open_folder(out, GRID, PLUGINS, overwrite=True)
    lock.release()
    assert all((out / name).read_text() == "old" for name in ("report.html", "runs/a.h5", "runs/b.h5"))


def test_what_cannot_be_removed_is_one_sentence(tmp_path):
    out = begun(tmp_path)
    (out / "runs" / "a.h5").mkdir()
    with pytest.raises(FileError, match=r"cannot write .*Is a directory") as raised:
        open_folder(out, GRID, PLUGINS, overwrite=True)
    assert str(out) in str(raised.value)


BUDGET = attrs.evolve(GRID, budget=5)
FROZEN = attrs.evolve(BUDGET, thin={"probe": 10})


def test_resume_takes_the_schedules_that_the_budget_led_to(tmp_path):
    open_folder(tmp_path, FROZEN, PLUGINS)
    longer = attrs.evolve(BUDGET, seeds=4)
    assert check_folder(tmp_path, longer, PLUGINS, resume=True) == attrs.evolve(FROZEN, seeds=4)
    open_folder(tmp_path, FROZEN, PLUGINS, resume=True)


@pytest.mark.parametrize("held", [{}, {"probe": 10}])
def test_only_resume_looks_at_what_is_held(tmp_path, held):
    open_folder(tmp_path, attrs.evolve(BUDGET, thin=held), PLUGINS)
    assert check_folder(tmp_path, BUDGET, PLUGINS, overwrite=True) == BUDGET
    assert check_folder(tmp_path, BUDGET, PLUGINS, resume=True).thin == held
    assert check_folder(tmp_path / "new", BUDGET, PLUGINS, resume=True) == BUDGET


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        (GRID, "budget is None now and was 5"),
        (attrs.evolve(GRID, budget=10), "budget is 10 now and was 5"),
        (attrs.evolve(BUDGET, thin={"probe": 2}), "thin is {'probe': 2} now and was {'probe': 10}"),
        (attrs.evolve(GRID, thin={"probe": 10}), "budget is None now and was 5"),
    ],
)
def test_resume_refuses_another_budget_and_other_schedules(tmp_path, asked, part):
    open_folder(tmp_path, FROZEN, PLUGINS)
    with pytest.raises(UsageError, match=part):
        check_folder(tmp_path, asked, PLUGINS, resume=True)
