"""Whoever follows a page notices what it shows wrong. CI follows docs/start.md and docs/tutorial.md themselves."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import follow

DOCS = Path(__file__).parents[2] / "docs"

PAGE = """
# A page

```{code-block} python
:caption: two.py

one
two
```

```console
$ mkdir -p deep/er && mv two.py \\
    deep && cd deep
$ cat two.py
one
two
```

```bash
exit 3   # is not followed
```

```{code-block} diff
:caption: two.py

 one
-two
+three
```

```console
$ name=$(basename "$PWD"); echo $name
deep
$ cat two.py
one
three
$ test $name = er
$ echo $?
1
```
"""


@pytest.fixture
def shell(tmp_path):
    made = follow.Shell(tmp_path, {"PATH": os.environ["PATH"]})
    yield made
    made.close()


def test_a_page_that_shows_what_comes(shell, capsys):
    assert follow.follow("page.md", PAGE, shell) == 0
    assert [line.split(" s  ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "mkdir -p deep/er && mv two.py deep && cd deep",
        "cat two.py",
        'name=$(basename "$PWD"); echo $name',
        "cat two.py",
        "test $name = er",
        "echo $?",
    ]


SHOWN = "exit code 0; what is shown (-) and what came (+):"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("$ cat two.py\none\nthree", "$ cat two.py\none\nthre", f"page.md:34: {SHOWN}\n  one\n- thre\n+ three"),
        ("echo $name\ndeep\n", "echo $name\n", f"page.md:32: {SHOWN}\n+ deep"),
    ],
)
def test_a_page_that_does_not(shell, capsys, right, wrong, told):
    assert PAGE.count(right) == 1
    assert follow.follow("page.md", PAGE.replace(right, wrong), shell) == 1
    assert told in capsys.readouterr().out


def test_nothing_is_followed_beyond_a_command_that_failed(shell, capsys):
    with pytest.raises(SystemExit, match="beyond a command that failed"):
        follow.follow("page.md", PAGE.replace("$ echo $?\n1\n", "$ echo more\nmore\n"), shell)
    assert capsys.readouterr().out.splitlines()[-3].endswith("s  test $name = er")


def test_a_mend_that_does_not_fit_its_file_is_an_error():
    with pytest.raises(ValueError, match="are there 0 times:\none\ntwo\n"):
        follow.changed("one\nthree\n", " one\n-two\n+four\n")


def test_commands_see_a_terminal_of_80_columns(shell):
    asked = "import shutil, sys; print(sys.stdout.isatty(), shutil.get_terminal_size().columns)"
    assert shell.type(f"{sys.executable} -S -c '{asked}'") == ("True 80\n", 0)


@pytest.mark.parametrize(
    ("shown", "came", "agreed"),
    [
        ("took ... s\n", "took 1.5 s\n", True),
        ("took ... s\n", "took 1.5\n", False),
        ("a.b\n", "axb\n", False),
        ("first\n...\nlast\n", "first\nlast\n", True),
        ("first\n...\nlast\n", "first\n1\n2\nlast\n", True),
        ("first\n...\nlast\n", "first\n1\nlast 2\n", False),
        ("first\n", "first\nsecond\n", False),
        ("", "first\n", False),
        ("...\n", "", True),
    ],
)
def test_three_dots_stand_for_anything(shown, came, agreed):
    assert follow.agrees(shown, came) is agreed


@pytest.mark.parametrize("page", ["start.md", "tutorial.md"])
def test_the_pages_have_something_to_follow(page):
    """A block that is written in another way would be passed over in silence."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = list(follow.steps(text))
    assert sum(isinstance(step, follow.Command) for step in found) == text.count("\n$ ")
    assert sum(isinstance(step, follow.File) for step in found) == text.count(":caption:")
    assert "\n$ optiscope characterize " in text


def test_ci_follows_them():
    ci = (DOCS.parent / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line.strip() for line in ci.splitlines()]
    assert "uv run python tests/docs/follow.py docs/start.md docs/tutorial.md" in commands
