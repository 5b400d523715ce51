"""The BLAS: one thread during a run, and its name in what a run says of itself."""

from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from optiscope.config import RunConfig
from optiscope.engine import blas, train
from optiscope.hooks import create_manager, hookimpl


def libraries():
    return [library for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_says_which_blas_it_uses_and_that_it_has_one_thread(threads):
    seen = []

    class Watches:
        @hookimpl
        def on_run_start(self, run):
            seen.append((run.blas, [library["num_threads"] for library in libraries()]))

    host = create_manager()
    host.register(Watches(), "watches")
    with threadpool_limits(2, "blas"):
        before = [library["num_threads"] for library in libraries()]
        train(RunConfig(model="quadratic", steps=1, threads=threads), host)
        assert [library["num_threads"] for library in libraries()] == before
    ((said, counts),) = seen
    assert set(counts) <= {1}
    numpys = [library for library in libraries() if "numpy" in library["filepath"]]
    for library in (numpys or libraries())[:1]:
        assert said == {
            "name": library["internal_api"],
            "version": library["version"],
            "architecture": library["architecture"],
            "threads": 1,
        }


def test_of_several_libraries_numpys_is_named(monkeypatch):
    other = {
        "user_api": "blas",
        "internal_api": "mkl",
        "version": "2025",
        "num_threads": 8,
        "filepath": "/lib/libmkl.so",
    }
    numpys = {**other, "internal_api": "openblas"}
    openmp = {"user_api": "openmp", "internal_api": "openmp", "version": None, "num_threads": 8, "filepath": ""}
    numpys["filepath"] = str(np.__file__).replace("/__init__.py", ".libs/libopenblas.so")
    monkeypatch.setattr(blas, "_libraries", lambda: SimpleNamespace(info=lambda: [openmp, other, numpys]))
    assert blas.in_use() == {"name": "openblas", "version": "2025", "architecture": "", "threads": 8}
    monkeypatch.setattr(blas, "_libraries", lambda: SimpleNamespace(info=lambda: [openmp, other]))
    assert blas.in_use()["name"] == "mkl"


def test_a_library_that_cannot_be_asked_has_the_name_that_numpy_knows(monkeypatch):
    monkeypatch.setattr(blas, "_libraries", lambda: SimpleNamespace(info=list))
    assert blas.in_use().keys() == {"name", "version"}
    assert blas.in_use()["name"] == np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
