"""Tables of a race: from its CSV file to Markdown.

    python tests/benchmarks/tables.py docs/measured/performance.csv                         print them
    python tests/benchmarks/tables.py docs/measured/performance.csv docs/performance.md     and put them into the page

The file has a row for each figure: `part` of the race, `model`, `batch`, `contestant`, `item` (what of it; empty if
there is one thing only, "alone" for the round before the race, "others" for the cores that other programs used),
`round` and `value`. A ratio is that of two medians over the rounds; in brackets stand the quartiles of the ratios
within a round, which share its disturbances.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

COLUMNS = ("part", "model", "batch", "contestant", "item", "round", "value")

COMPARISONS = {
    "step": ("ms a step", ("eager", "tuned")),
    "grid": ("images a second", ("eager, 1 x 2 threads", "tuned, 2 x 1 thread")),
    "recording": ("ms a step", ("no observers",)),
    "help": ("ms", ("import numpy",)),
}
"""Of each part that compares: its unit, and whom the others are compared with."""

TITLES = {
    "step": "A training step",
    "grid": "Throughput of a grid",
    "recording": "What recording costs",
    "memory": "Peak memory of a worker",
    "help": "Starting the program",
    "layers": "The floor, and each layer's distance from it",
}

BEGIN, END = "<!-- tables of the race -->", "<!-- end of the tables -->"

Row = Mapping[str, Any]


def read(path: Path) -> list[Row]:
    """Return the rows of a race's file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write rows to a race's file."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "value": _short(row["value"])} for row in rows)


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def markdown(rows: Sequence[Row]) -> str:
    """Return all tables that there are figures for, each under a title."""
    sections = []
    machine = [row for row in rows if row["part"] == "machine"]
    if machine:
        facts = [f"{row['item']} {row['value']}" for row in machine]
        busy = [float(row["value"]) for row in rows if row["item"] == "others"]
        facts += [f"at most {max(busy):.2f} cores in use by other programs meanwhile"] if busy else []
        sections.append(f"Measured on {'; '.join(facts)}.")
    for part, title in TITLES.items():
        own = [row for row in rows if row["part"] == part]
        if own:
            tables = {"memory": _memory, "layers": _layers}.get(part, _comparison)(own)
            sections += [f"### {title}", *tables]
    return "\n\n".join(sections)


def _cells(rows: Sequence[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    cells: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        cells[tuple(str(row.get(name, "")) for name in names)].append(row)
    return cells


def _values(rows: Iterable[Row]) -> list[float]:
    """Return the values in the order of their rounds."""
    return [float(row["value"]) for row in sorted(rows, key=lambda row: int(row["round"]))]


def _comparison(rows: Sequence[Row]) -> Iterator[str]:
    """Yield one table: a row for each contestant of each cell."""
    unit, baselines = COMPARISONS[rows[0]["part"]]
    named = [name for name in baselines if any(row["contestant"] == name for row in rows)]
    has_cells = any(row["model"] for row in rows)
    head = [*(["model", "batch"] if has_cells else []), "", unit, *(["alone"] if has_cells else [])]
    head += [f"against {name}" for name in named]
    lines = []
    for (model, batch), cell in _cells(rows, "model", "batch").items():
        alone = {row["contestant"]: float(row["value"]) for row in cell if row["item"] == "alone"}
        raced = _cells([row for row in cell if not row["item"]], "contestant")
        contestants = {name: _values(own) for (name,), own in raced.items()}
        for name, values in contestants.items():
            line = [*([model, batch] if has_cells else []), name, _number(median(values))]
            line += [_number(alone[name])] if has_cells else []
            for baseline in named:
                others = contestants.get(baseline)
                line.append(ratio(values, others) if others and baseline != name else "")
            lines.append(line)
    yield _table(head, lines)


def ratio(values: Sequence[float], others: Sequence[float]) -> str:
    """Return the ratio of the medians, and in brackets the quartiles of the ratios within the rounds."""
    text = f"{median(values) / median(others):.2f}"
    within = [a / b for a, b in zip(values, others, strict=True)]
    if len(within) < 2:
        return text
    low, _, high = quantiles(within, n=4, method="inclusive")
    return f"{text} ({low:.2f} to {high:.2f})"


def _memory(rows: Sequence[Row]) -> Iterator[str]:
    lines = [
        [row["model"], str(row["batch"]), row["contestant"], row["item"], f"{float(row['value']):.0f}"] for row in rows
    ]
    yield _table(["model", "batch", "kernels", "data", "peak, MB"], lines)


def _layers(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a sentence and a table for each model and set of kernels."""
    for (model, batch, kernels), cell in _cells(rows, "model", "batch", "contestant").items():
        peak = max(_values(row for row in cell if row["item"] == "peak"))
        figures: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        for row in cell:
            if row["item"] != "peak":
                layer, way, unit = row["item"].split()
                figures[layer][way][unit] = float(row["value"])
        figures["all"] = {
            way: {unit: sum(layer[way][unit] for layer in list(figures.values())) for unit in ("ms", "GFLOP")}
            for way in ("forward", "backward")
        }
        lines = []
        for layer, ways in figures.items():
            line = [layer]
            for way in ("forward", "backward"):
                ms, floor = ways[way]["ms"], ways[way]["GFLOP"] / peak * 1e3
                line += [_number(ms), _number(floor) if floor else "", f"{ms / floor:.1f}" if floor else ""]
            lines.append(line)
        total, floor = (sum(figures["all"][way][unit] for way in ("forward", "backward")) for unit in ("ms", "GFLOP"))
        floor *= 1e3 / peak
        yield (
            f"{model}, batch {batch}, kernels {kernels}, one thread: sgemm reaches {peak:.0f} GFLOP/s, so the floor of "
            f"forward and backward is {_number(floor)} ms; they take {_number(total)} ms, {total / floor:.2f} times "
            "that."
        )
        head = ["layer", "forward, ms", "floor", "times", "backward, ms", "floor", "times"]
        yield _table(head, lines)


def _number(value: float) -> str:
    """Return three digits, and all those before the point."""
    digits = max(0, 2 - len(str(int(value))) + 1) if value >= 1 else 2
    return f"{value:.{digits}f}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def into(page: str, tables: str) -> str:
    """Return the text of a page with `tables` between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"the page has no {BEGIN} ... {END}: write both where the tables belong")
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}" if tables else f"{before}{BEGIN}\n{END}{after}"


def main(measured: str, page: str | None = None) -> None:
    tables = markdown(read(Path(measured)))
    print(tables)
    if page is not None:
        path = Path(page)
        path.write_text(into(path.read_text(), tables))


if __name__ == "__main__":
    main(*sys.argv[1:])
