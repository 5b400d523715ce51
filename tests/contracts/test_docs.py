"""The README promises what CI does."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CI = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]


def first_commands() -> list[str]:
    block = re.search(r"```bash\n(.*?)```", README, re.DOTALL)
    assert block
    return block[1].split("\n")[:-1]


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
