"""The README promises what CI does."""

import re
from pathlib import Path

import numpy as np
import pytest

from optiscope.hooks import create_manager
from optiscope.params import Parameters

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CI = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def first_commands() -> list[str]:
    return blocks("bash")[0].splitlines()


def test_two_commands_do_everything() -> None:
    assert first_commands() == ["uv run optiscope characterize", "uv run pytest"]


@pytest.mark.parametrize("command", first_commands())
def test_ci_runs_the_command(command: str) -> None:
    assert any(line.split(" --out ")[0] == command for line in CI)


def test_the_tests_come_last_in_ci() -> None:
    assert CI[-1] == "uv run pytest"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


def test_the_optimizer_of_the_readme_is_a_plugin_that_steps(tmp_path: Path) -> None:
    path = tmp_path / "sign_descent.py"
    path.write_text(blocks("python")[1])
    optimizer = create_manager(files=[str(path)]).build("optimizers", "sign-descent", {"lr": 0.5})
    params = Parameters.from_arrays({"w": [1.0, 2.0, 3.0]})
    grads = Parameters.from_arrays({"w": [10.0, 0.0, -0.1]})
    optimizer.update(params, grads, optimizer.init(params), 1)
    np.testing.assert_array_equal(params["w"], np.float32([0.5, 2.0, 3.5]))
