"""How Sphinx builds the documentation.

Pages are MyST Markdown. Docstrings are plain prose: names in single backticks, formulas and tables as indented
blocks. `as_rst` turns them into what autodoc reads, so that no docstring has to be written for a markup language.
"""

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

project = "optiscope"
author = "the optiscope developers"
release = version = installed_version("optiscope")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "_figures", "measured"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

highlight_language = "text"
html_theme = "furo"
html_title = f"optiscope {release}"
html_show_copyright = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88


def as_rst(lines: list[str]) -> list[str]:
    """Return the lines of a plain docstring as reStructuredText: indented blocks literal, backticks doubled."""
    rst: list[str] = []
    inside = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not inside:
            rst += ["", "::", ""]
        elif inside and line and not indented:
            rst.append("")
        inside = indented or (inside and not line)
        rst.append(line if indented else _inline(line))
    return rst


def _inline(line: str) -> str:
    parts = re.split(r"(`+[^`]+`+)", line)
    return "".join(
        f"``{part.strip('`')}``" if part.startswith("`") else re.sub(r"([*|_\\])", r"\\\1", part) for part in parts
    )


def setup(app: Any) -> None:
    """Connect `as_rst` to autodoc."""

    def process(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
        lines[:] = as_rst(lines)

    app.connect("autodoc-process-docstring", process)
    sys.path.insert(0, str(Path(__file__).parent))
    import figures

    figures.draw_all()
