"""What all tests share, also those of the plugins: one BLAS thread, repeatable hypotheses, a way to forbid skips.

With OPTISCOPE_NO_SKIPS=1 a skipped test is a failed one. CI sets it: there, a comparison with an oracle that did
not take place would look like one that agreed.
"""

import os
import signal
from collections.abc import Generator

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported, which reads them once
os.environ.pop("PYTEST_ADDOPTS", None)  # these tests were asked for it, a pytest that one of them starts was not

import hypothesis  # noqa: E402
import pytest  # noqa: E402

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background hears no Ctrl-C, nor its tests
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("optiscope", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("optiscope")


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("OPTISCOPE_NO_SKIPS") and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: skips are failures here (OPTISCOPE_NO_SKIPS is set): {why}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report
