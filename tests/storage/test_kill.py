"""`kill -9` of a writing process at random moments: what was acknowledged is there, and reads back right."""

import subprocess
import sys
import time

import numpy as np
import pytest

from optiscope.storage import open_run, verify

WRITE = "import sys; sys.path.insert(0, sys.argv[1]); import conftest; conftest.write_and_say(sys.argv[2])"


def kill_after(kit, path, lines, delay):
    """Start the small run in a process of its own, read so many lines of what it says, wait, and kill it."""
    command = [sys.executable, "-c", WRITE, str(kit.folder), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline() for _ in range(lines)]
        time.sleep(delay)
        process.kill()
        said += process.stdout.readlines()
    assert process.returncode in (-9, 0)
    whole = [line.split() for line in said if line.endswith("\n") and line != "ready\n"]
    return tuple(map(int, whole[-1])) if whole else None


@pytest.mark.parametrize("trial", range(8))
def test_killed_at_a_random_moment_the_file_opens_and_no_acked_row_is_lost(tmp_path, info, signals, kit, trial):
    random = np.random.default_rng(trial)
    path = tmp_path / "run.h5"
    acked = kill_after(kit, path, int(random.integers(1, 97)), random.random() * 0.05)
    if acked is None and not path.exists():
        return
    with open_run(path) as run:
        assert (run.n_steps, run.n_epochs) >= (acked or (0, 0))
        for name, rows in kit.expected(info, signals, run.n_steps, run.n_epochs).items():
            np.testing.assert_array_equal(np.concatenate([run.h5[name][: len(rows)]]), rows, err_msg=name)
        assert run.status in ("running", "completed")
        assert verify(path).intact is (True if "content_sha256" in run.attrs else None)
