"""The commands on real runs, small ones: two cells of the quadratic, then everything that can be done with them."""

import functools
import gc
import http.server
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from optiscope.autograd.kernels import FASTEST
from optiscope.cli import main
from optiscope.cli.run import _listening

GRID = ["--model", "quadratic", "--batch-sizes", "1", "--lrs", "0.1", "--steps", "30", "--executor", "in-process"]


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A characterization of SGD and Adam on the quadratic."""
    out = tmp_path_factory.mktemp("grid") / "o"
    assert main(["characterize", *GRID, "--out", str(out)]) == 0
    return out


def test_files_are_where_the_design_says(grid):
    document = json.loads((grid / "characterization.json").read_text())
    assert [cell["optimizer"] for cell in document["cells"]] == ["sgd", "adam"], "in the order asked for"
    for cell in document["cells"]:
        for run in cell["runs"]:
            assert (grid / run["path"]).is_file()
    assert (grid / "report.html").read_text().startswith("<!")


def test_label_judges_again_and_leaves_the_recordings(optiscope, grid):
    before = {path: path.read_bytes() for path in grid.glob("runs/*.h5")}
    verdicts = (grid / "characterization.json").read_text()
    (grid / "characterization.json").unlink()
    outcome = optiscope("label", grid)
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["optimizer", "sgd", "adam"]
    assert (grid / "characterization.json").read_text() == verdicts
    assert {path: path.read_bytes() for path in grid.glob("runs/*.h5")} == before


def test_a_file_that_cannot_be_judged_is_named(optiscope, grid, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(grid, out)
    (out / "runs" / "x.h5").write_bytes(b"not HDF5")
    outcome = optiscope("label", out)
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["optimizer", "sgd", "adam"]
    (line,) = (line for line in outcome.err.splitlines() if "x.h5" in line)
    assert line.startswith("Not judged: runs/x.h5")


def test_label_as_json(optiscope, grid):
    assert optiscope("label", grid, "--json").document == json.loads((grid / "characterization.json").read_text())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--set envelope.xyz=1", "envelope"),
        ("--no-plugin nothing", "unknown plugin to block 'nothing'"),
        ("--plugin nowhere.py", "nowhere.py"),
        ("--analyzers envelop", "unknown analyzer in --analyzers 'envelop': did you mean 'envelope'?"),
        ("--analyzers all --set envelope.limit=0", "limit must be a number above zero"),
    ],
)
def test_label_refuses(refused, grid, words, sentence):
    assert sentence in refused("label", grid, *words.split())


def test_report_draws_again(optiscope, grid):
    (grid / "report.html").unlink()
    outcome = optiscope("report", grid)
    assert outcome.out == f"{grid / 'report.html'}\n"
    assert outcome.err.splitlines()[0].split() == ["observer", "time", "share", "of", "the", "runs"]
    assert {"writer", "recorder step"} <= {line.partition("  ")[0] for line in outcome.err.splitlines()}
    document = optiscope("report", grid, "--json").document
    assert document["report"] == str(grid / "report.html")
    assert {"writer", "recorder step"} <= {row["observer"] for row in document["observers"]}
    assert all(row["seconds"] > 0 and 0 < row["share"] < 100 for row in document["observers"])
    assert (grid / "report.html").is_file()


def test_report_as_markdown_and_the_card_of_an_optimizer(optiscope, refused, grid):
    assert optiscope("report", grid, "--format", "md").out == f"{grid / 'report.md'}\n"
    assert "## Verdicts" in (grid / "report.md").read_text()
    assert (grid / "report-figures" / "cell-1-signal.csv").is_file()
    outcome = optiscope("check", "sgd", "--json")
    (grid / "check-sgd.json").write_text(outcome.out)
    assert optiscope("report", grid, "--card", "sgd", "--json").document["report"] == str(grid / "card-sgd.html")
    card = (grid / "card-sgd.html").read_text()
    assert "0 values of state for a parameter" in card
    assert "largest stable lr by theory: 2" in card
    assert "did you mean" in refused("report", grid, "--card", "sdg")


def test_a_grid_is_the_same_as_itself(optiscope, grid):
    outcome = optiscope("compare", grid, grid)
    assert (outcome.code, outcome.out, outcome.err) == (0, "2 cells in both: 2 same\n", "")


@pytest.mark.parametrize("command", ["label", "report"])
def test_a_folder_that_is_no_characterization(refused, folder, command):
    (folder / "empty").mkdir()
    assert "empty" in refused(command, "empty")
    assert "nowhere" in refused(command, "nowhere")


def test_file_info(optiscope, grid):
    path = next(grid.glob("runs/sgd*.h5"))
    text = optiscope("file", "info", path).out
    assert path.stem in text
    assert "time of recorder step" in text
    assert "% of the run" in text
    facts = optiscope("file", "info", path, "--json").document
    assert (facts["run_id"], facts["steps"], facts["steps_asked"]) == (path.stem, 30, 30)
    assert (facts["status"], facts["optimizer"], facts["lr"]) == ("completed", "sgd", 0.1)
    assert "loss" in facts["signals"]["step"]
    assert 0 < facts["observer_time"]["recorder step"] < facts["wall_time"]
    assert (facts["kernels"], facts["threads"]) == (FASTEST, 1)
    assert facts["blas"]["name"]
    assert f"name {facts['blas']['name']}, version {facts['blas']['version']}" in text
    assert facts["versions"].keys() == {"numpy", "optiscope", "python"}
    assert f"numpy {facts['versions']['numpy']}, optiscope" in text


@pytest.mark.parametrize("content", [None, b"", b"not HDF5"])
def test_file_info_of_something_else(refused, folder, content):
    path = folder / "x.h5"
    if content is not None:
        path.write_bytes(content)
    assert "x.h5" in refused("file", "info", path)


def test_resume_adds_seeds_and_keeps_what_was_there(optiscope, grid, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(grid, out)
    before = {path.name: path.read_bytes() for path in out.glob("runs/*.h5")}
    outcome = optiscope("characterize", *GRID, "--seeds", "2", "--out", out, "--resume", "--json")
    assert outcome.code == 0
    assert [len(cell["runs"]) for cell in outcome.document["cells"]] == [2, 2]
    after = {path.name: path.read_bytes() for path in out.glob("runs/*.h5")}
    assert len(after) == 4
    assert before.items() <= after.items()


def test_resume_refuses_another_grid_by_name(refused, grid):
    assert "--resume: steps is 31 now and was 30" in refused("characterize", *GRID[:7], "31", "--out", grid, "--resume")


def test_plugins_that_are_blocked_or_broken(optiscope, folder):
    (folder / "broken.py").write_text("raise RuntimeError('no')\n")
    (folder / "mine.py").write_text(
        "from optiscope.hooks import hookimpl\n@hookimpl\ndef optiscope_optimizers():\n    return []\n"
    )
    states = optiscope("plugins", "--no-plugin", "optiscope-builtin", "--plugin", "mine.py", "--json").document[
        "plugins"
    ]
    assert {state["name"]: state["state"] for state in states}["optiscope-builtin"] == "blocked"
    assert {state["name"]: state["state"] for state in states}["mine"] == "active"
    outcome = optiscope("plugins", "--plugin", "broken.py")
    assert outcome.code == 2
    assert "broken" in outcome.err


def test_data_make_and_verify(optiscope, folder):
    options = ("--set", "synthetic.train=50", "synthetic.test=10", "synthetic.seed=3")
    assert optiscope("data", "make", "images", *options).out == "images\n"
    lines = optiscope("data", "verify", "images").out.splitlines()
    assert len(lines) == 1 + 10 + 1
    facts = optiscope("data", "verify", "images", "--json").document
    assert (sum(facts["train_counts"]), sum(facts["test_counts"])) == (50, 10)
    assert facts["digest"] in lines[-1]


def test_data_make_refuses(optiscope, refused):
    words = ("--set", "synthetic.train=50", "synthetic.test=10")
    assert optiscope("data", "make", "images", *words).code == 0
    assert "images" in refused("data", "make", "images", *words)
    assert "did you mean 'synthetic'?" in refused("data", "make", "more", "--data", "synthetik")
    assert "did you mean 'synthetic'?" in refused("data", "make", "more", "--set", "synthetik.seed=1")
    assert "seed" in refused("data", "make", "more", "--set", "synthetic.sead=1")


def test_data_fetch_that_fails(refused, folder):
    assert "http://127.0.0.1:9" in refused(
        "data", "fetch", "cifar10", "--cache", ".", "--base-url", "http://127.0.0.1:9/"
    )


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path_factory):
    """A web server with an archive that is not CIFAR-10's."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "cifar-10-binary.tar.gz").write_bytes(b"x" * 100_000)
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("words", [[], ["--cache", "a b"]], ids=str)
def test_data_fetch_shows_how_to_use_what_it_kept(optiscope, folder, monkeypatch, words):
    """The folder is there already, so nothing is downloaded; the option that is shown must find it."""
    monkeypatch.setenv("OPTISCOPE_CACHE", "cache")
    kept = folder / (words[-1] if words else "cache") / "cifar-10-batches-bin"
    options = ("--set", "synthetic.train=50", "synthetic.test=10")
    assert optiscope("data", "make", kept, *options).code == 0
    outcome = optiscope("data", "fetch", "cifar10", *words)
    assert (outcome.code, outcome.out) == (0, f"{kept.relative_to(folder)}\n")
    said, command = outcome.err.strip().split(": optiscope ")
    assert said == "Train on it"
    grid = ("--dry-run", "--json", "--batch-sizes", "10", "--optimizers", "sgd", "--steps", "1")
    (run,) = optiscope(*shlex.split(command), *grid).document["runs"]
    assert run["data"] == ("a b/cifar-10-batches-bin" if words else "cifar10")


def test_data_fetch_of_another_archive(optiscope, folder, server):
    outcome = optiscope("data", "fetch", "cifar10", "--cache", "cache", "--base-url", server)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "md5" in outcome.err.splitlines()[-1]
    assert not [path for path in (folder / "cache").rglob("*") if path.is_file()]


def test_ctrl_c_keeps_what_was_recorded_and_resume_goes_on(optiscope, folder):
    words = [
        "--model",
        "quadratic",
        "--batch-sizes",
        "1",
        "--lrs",
        "0.1",
        "--steps",
        "3000",
        "--jobs",
        "1",
        "--out",
        "o",
    ]
    code = "import sys; from optiscope.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "characterize", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not any(info["steps"] > 0 for info in infos(optiscope)) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    (live,) = (info for info in infos(optiscope) if info["status"] == "running")
    assert live["steps"] > 0
    said, again = err.splitlines()[-1].split("; go on with: optiscope ")
    assert said.endswith("of 2 runs had finished and are kept; --resume goes on with the others")
    assert again == f"characterize {' '.join(words)} --resume"
    assert optiscope(*shlex.split(again)).code == 0
    assert [info["status"] for info in infos(optiscope)] == ["completed", "completed"]


def test_ctrl_c_counts_what_resume_will_keep(optiscope, folder):
    """Of the runs with seeds 0, 1, 2 and 3 one completes, one fails, one is interrupted and one never begins."""
    (folder / "mine.py").write_text(
        "import signal\n"
        "from optiscope.hooks import hookimpl\n"
        "@hookimpl\n"
        "def on_step(run, step):\n"
        "    if run.seed == 1:\n"
        "        raise ValueError('no')\n"
        "    if run.seed == 2:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
    )
    words = [*GRID, "--optimizers", "sgd", "--seeds", "4", "--plugin", "mine.py", "--out", "o"]
    outcome = optiscope("characterize", *words)
    assert (outcome.code, outcome.out) == (130, "")
    line = outcome.err.splitlines()[-1]
    assert line.startswith(
        "optiscope: interrupted: 1 of 4 runs had finished and are kept; --resume goes on with the others"
    )
    assert sorted(info["status"] for info in infos(optiscope)) == ["completed", "failed", "running"]


def infos(optiscope):
    """Return what `file info` says of each run file in the folder o."""
    outcomes = [optiscope("file", "info", path, "--json") for path in Path("o").glob("runs/*.h5")]
    return [outcome.document for outcome in outcomes if outcome.code == 0]


def test_a_full_disk_is_one_line_and_earlier_runs_stay(optiscope, folder):
    words = [*GRID[:-2], "--optimizers", "sgd", "--jobs", "1", "--out", "o"]
    assert optiscope("characterize", *words).code == 0
    (path,) = Path("o").glob("runs/*.h5")
    before = path.read_bytes()
    limit = len(before) // 2
    code = "import sys; from optiscope.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "characterize", *words, "--seeds", "3", "--resume"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"optiscope: cannot write {Path('o').resolve()}/runs/sgd-")
    assert "(File too large)" in line
    assert list(Path("o").glob("runs/*.h5")) == [path]
    assert path.read_bytes() == before
    assert [info["status"] for info in infos(optiscope)] == ["completed"]


def test_what_a_plugin_prints_and_which_runs_failed_go_to_stderr(optiscope, folder):
    (folder / "loud.py").write_text(
        "from optiscope.hooks import hookimpl\n"
        "from optiscope.optim import SGD\n"
        "class Breaks(SGD):\n"
        "    name = 'breaks'\n"
        "    def update(self, params, grads, state, step):\n"
        "        return {}['nope']\n"
        "@hookimpl\n"
        "def optiscope_optimizers():\n"
        "    return [Breaks]\n"
        "@hookimpl\n"
        "def on_run_start():\n"
        "    print('loud')\n"
    )
    words = "--model quadratic --plugin loud.py --optimizers sgd breaks --batch-sizes 1 --steps 5 --out o --json"
    for executor in ("in-process", "processes"):
        outcome = optiscope("characterize", *words.split(), "--executor", executor, "--overwrite")
        assert outcome.code == 0
        assert [cell["optimizer"] for cell in json.loads(outcome.out)["cells"]] == ["sgd", "breaks"]
        assert "KeyError: 'nope' (loud.py, line 6)" in outcome.err
        assert "1 of 2 runs failed or did not end" in outcome.err


def test_a_folder_is_judged_again_without_the_plugin_files_it_was_made_with(optiscope, folder):
    (folder / "empty.py").write_text("from optiscope.hooks import hookimpl\n@hookimpl\ndef on_run_start():\n    pass\n")
    words = "--model quadratic --optimizers sgd --batch-sizes 1 --steps 5 --out o --executor in-process"
    optiscope("characterize", *words.split(), "--plugin", "empty.py")
    assert optiscope("label", "o", "--plugin", "empty.py").code == 0
    (folder / "empty.py").unlink()
    outcome = optiscope("label", "o")
    assert outcome.code == 0
    assert "empty.py is not there any more" in outcome.err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_where_python_drops_the_first_ctrl_c_the_second_counts():
    class Finalised:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    asked = []
    with _listening(asked, ends=False):
        thing = Finalised()
        del thing
        gc.collect()
        assert asked == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_second_ctrl_c_leaves_whoever_heeds_the_first_in_peace():
    asked = []
    with _listening(asked, ends=False):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            try:
                raise ValueError("while clearing up")
            except ValueError:
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    assert asked == [signal.SIGINT] * 3
