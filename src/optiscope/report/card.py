"""The card of an optimizer: one page that says how it behaves, from the cells of a characterization.

Where is it stable, how wide is the range of learning rates, does the batch size matter, do seeds agree, does it
generalise, how does it fail, what does it cost, and is it implemented right? Each answer stands in the first table in a
few words, and below with its numbers. What was not measured is said to be so.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from optiscope.errors import FileError
from optiscope.report.blocks import Block, Code, Gallery, Page, Paragraph, Section, Table, Text
from optiscope.report.evidence import Entry, cost_of_observing, origin
from optiscope.report.inputs import Cell, Document, RunFile
from optiscope.report.legends import map_legend
from optiscope.report.maps import Map, map_figure, maps
from optiscope.report.measures import (
    NOTHING,
    end_accuracy,
    end_loss,
    end_train_accuracy,
    gap,
    percent,
    spread,
    told,
    told_share,
)
from optiscope.report.page import entries_of, of, training, verdicts
from optiscope.report.tables import number
from optiscope.report.tolerance import Tolerance, edge_power, pooled, tolerance

Answer = tuple[str, Text]


def slug(name: str) -> str:
    """Return a name as part of a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "optimizer"


def read_checks(path: Path) -> Document | None:
    """Return what `optiscope check NAME --json` wrote to `path`, None where there is no file; FileError if damaged."""
    try:
        found: Document = json.loads(path.read_text(encoding="utf-8"))
        if not all({"name", "outcome", "why"} <= set(result) for result in found["results"]):
            raise TypeError("a result has no name, outcome or why")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(
            f"{path} is not what 'optiscope check NAME --json' writes ({error}): write it anew, or remove it"
        ) from error
    return found


def card_page(optimizer: str, document: Document, cells: Sequence[Cell], checks: Document | None) -> Page:
    """Return the card of `optimizer`, whose `cells` are all that `document` has; `checks` are its conformance."""
    entries = entries_of(document, cells)
    found = maps(cells)
    answers: list[Answer] = [("cells", _counts(cells))]
    parts: list[Block] = []
    for make in (_tolerances, _batches):
        told_of = [make(each, f": {each.name}" if len(found) > 1 else "") for each in found]
        answers += [answer for answer, _ in told_of]
        parts += [part for _, part in told_of]
    for about in (_seeds, _generalisation, _failures):
        answer, part = about(entries)
        answers.append(answer)
        parts.append(part)
    answer, cost = _cost(cells, checks)
    conformed, conformance = _conformance(str(cells[0].judged["optimizer"]), cells, checks)
    glance = Table(caption="In a few words.", heads=("question", "answer"), rows=(*answers, answer, conformed))
    pictures = tuple(map_figure(each, f"map-{count}") for count, each in enumerate(found, start=1))
    observing = cost_of_observing(entries)
    return Page(
        title=f"optiscope: {optimizer}",
        heading=f"{optimizer}: what it does to training",
        body=(
            Paragraph(_setting(cells)),
            glance,
            Section(title="Where it is stable", body=(Gallery(figures=pictures, legend=map_legend(found)),)),
            *parts,
            cost,
            *((observing,) if observing else ()),
            conformance,
            training(entries),
            verdicts(entries, linked=False),
            origin(document, entries),
        ),
    )


def _setting(cells: Iterable[Cell]) -> str:
    """Return what the cells have been trained on, and with which options."""
    judged = [cell.judged for cell in cells]
    words = [
        f"{name} {', '.join(dict.fromkeys(str(each.get(name)) for each in judged))}"
        for name in ("model", "data", "reduction")
    ]
    options: dict[str, dict[str, None]] = {}
    for each in judged:
        for key, value in (each.get("options") or {}).items():
            options.setdefault(key, {})[number(value)] = None
    if options:
        words.append("options " + ", ".join(f"{key} {' or '.join(values)}" for key, values in options.items()))
    return "; ".join(words) + "."


def _counts(cells: Sequence[Cell]) -> str:
    words = [str(cell.judged.get("verdict")) for cell in cells]
    counts = ", ".join(f"{words.count(verdict)} {verdict}" for verdict in sorted(set(words)))
    return f"{of(len(cells), 'cell')} in {of(sum(len(cell.runs) for cell in cells), 'run')}: {counts}"


def _regions(found: Map) -> tuple[Tolerance, ...]:
    return tuple(tolerance(size, row) for size, row in reversed(found.rows.items()))


def _tolerances(found: Map, name: str) -> tuple[Answer, Block]:
    regions, limits = _regions(found), found.limits
    rows = tuple(
        (str(each.batch_size), *each.words, number(limits.get(each.batch_size)), str(each.tried)) for each in regions
    )
    heads = ("batch", "stable lrs", "decades", "below", "above", "theory", "tried")
    caption = (
        "The widest run of neighbouring learning rates that are stable; its width is at least that between its ends, "
        "and at most that between the nearest ones outside that are unstable."
    )
    table = Table(caption=caption, heads=heads, rows=rows)
    short = "; ".join(f"batch {each.batch_size}: {each.told}" for each in regions)
    return (f"stable lrs{name}", short), Section(title=f"Tolerance of the learning rate{name}", body=(table,))


def _batches(found: Map, name: str) -> tuple[Answer, Block]:
    regions, shares = _regions(found), pooled(found.rows)
    power = edge_power(regions)
    if len(regions) < 2:
        short = "one batch size: cannot be said"
    elif power is None:
        short = "the upper end of the stable lrs is not enclosed at two batch sizes: cannot be said"
    else:
        short = (
            f"the upper end of the stable lrs moves as batch^{power:.2g} (0: no sensitivity, -1: batch x lr decides)"
        )
    sentence = f"{short[:1].upper()}{short[1:]}."
    rows = tuple(
        (
            str(each.batch_size),
            f"{each.unstable} of {each.decided}",
            f"{each.low:.2f} to {each.high:.2f}" if each.decided else NOTHING,
        )
        for each in shares
    )
    caption = "Unstable runs of the decided ones at the learning rates that all batch sizes share, and P(unstable)."
    table = Table(caption=caption, heads=("batch", "unstable", "95 % interval"), rows=rows)
    body: tuple[Block, ...] = (Paragraph(sentence), table) if rows else (Paragraph(sentence),)
    return (f"batch size{name}", short), Section(title=f"Sensitivity to the batch size{name}", body=body)


def _seeds(entries: Sequence[Entry]) -> tuple[Answer, Block]:
    several = [entry for entry in entries if len(entry.cell.runs) > 1]
    title = "Spread over seeds"
    if not several:
        short = "one seed in every cell: cannot be said"
        return ("seeds", short), Section(title=title, body=(Paragraph(f"{short[:1].upper()}{short[1:]}."),))
    rows: list[tuple[Text, ...]] = []
    widths: list[float] = []
    split = 0
    for entry in several:
        words = [str(run.judged.get("verdict")) for run in entry.cell.runs]
        split += len(set(words)) > 1
        loss, accuracy = (spread(map(what, entry.cell.ended)) for what in (end_loss, end_accuracy))
        widths += [accuracy.width] if accuracy.count > 1 else []
        counts = ", ".join(f"{words.count(verdict)} {verdict}" for verdict in sorted(set(words)))
        rows.append((entry.row.name, counts, told(loss), told_share(accuracy)))
    short = f"they disagree about the verdict in {split} of {of(len(several), 'cell')}"
    if widths:
        short += f"; test accuracies of a cell lie {percent(float(np.median(widths)))} apart (median), at most "
        short += percent(max(widths))
    table = Table(
        caption="Cells with several seeds: their verdicts, and where they ended (median, least and greatest).",
        heads=("cell", "verdicts", "loss", "test accuracy"),
        rows=tuple(rows),
    )
    return ("seeds", short), Section(title=title, body=(table,))


def _generalisation(entries: Sequence[Entry]) -> tuple[Answer, Block]:
    title = "Generalisation gap"
    rows: list[tuple[Text, ...]] = []
    gaps: list[float] = []
    for entry in entries:
        tracks = entry.cell.ended
        found = spread(map(gap, tracks))
        if entry.row.verdict != "stable" or not found.count:
            continue
        gaps.append(found.middle)
        train, test = (told(spread(map(what, tracks)), percent) for what in (end_train_accuracy, end_accuracy))
        rows.append((entry.row.name, train, test, told_share(found)))
    if not rows:
        short = "no stable cell with an accuracy on test images: cannot be said"
        return ("generalisation gap", short), Section(
            title=title, body=(Paragraph(f"{short[:1].upper()}{short[1:]}."),)
        )
    short = f"{told(spread(gaps), percent)} over {of(len(gaps), 'stable cell')}"
    caption = "Stable cells after the last epoch: accuracy on the training images less that on the test images."
    heads = ("cell", "training accuracy", "test accuracy", "gap")
    return ("generalisation gap", short), Section(
        title=title, body=(Table(caption=caption, heads=heads, rows=tuple(rows)),)
    )


def _failures(entries: Sequence[Entry]) -> tuple[Answer, Block]:
    title = "How it fails"
    where: dict[str, dict[str, int]] = {}
    for entry in entries:
        for run in entry.cell.runs:
            if mode := _mode(run):
                cells = where.setdefault(mode, {})
                cells[entry.row.name] = cells.get(entry.row.name, 0) + 1
    if not where:
        return ("failure modes", "none seen"), Section(title=title, body=(Paragraph("No run failed or was rough."),))
    rows = tuple(
        (mode, str(sum(cells.values())), "; ".join(f"{name} ({count})" for name, count in cells.items()))
        for mode, cells in sorted(where.items(), key=lambda item: -sum(item[1].values()))
    )
    short = ", ".join(f"{mode} ({count})" for mode, count, _ in rows)
    table = Table(
        caption="Runs that are not stable, and what is known of each.",
        heads=("what", "runs", "where"),
        rows=rows,
        numbers=(1,),
    )
    return ("failure modes", short), Section(title=title, body=(table,))


def _mode(run: RunFile) -> str:
    """Return in what way a run is not stable; empty where it is."""
    judged = run.judged
    outcome, signal, dynamics = (str(judged.get(axis, "")) for axis in ("outcome", "signal", "dynamics"))
    if judged.get("verdict") == "stable":
        return ""
    if outcome.startswith("failed"):
        return f"{outcome}, {dynamics}" if dynamics == "bounded oscillation" else outcome
    if signal.startswith("rough"):
        return signal
    return "undecided" if judged.get("status") in ("completed", "diverged") else f"no verdict: {judged.get('status')}"


def _cost(cells: Iterable[Cell], checks: Document | None) -> tuple[Answer, Block]:
    times: dict[tuple[str, int], list[float]] = {}
    for cell in cells:
        for track in cell.tracks:
            place = str(cell.judged.get("model")), int(cell.judged["batch_size"])
            times.setdefault(place, []).append(1e3 * track.step_time)
    several = len({model for model, _ in times}) > 1
    words = {
        f"a step at batch {size}" + f" on {model}" * several: told(spread(found), "{:.3g} ms".format)
        for (model, size), found in sorted(times.items())
    }
    state = next((str(each["why"]) for each in _results(checks) if each["name"] == "state-size"), "")
    over = next((str(each["why"]) for each in _results(checks) if each["name"] == "step-time"), "")
    parameters = {_parameters(run) for cell in cells for run in cell.runs} - {0}
    rows = list(words.items())
    rows += [("parameters", ", ".join(map(str, sorted(parameters))))] if parameters else []
    rows += [("state", state or "not measured: see Conformance")] + ([("update alone", over)] if over else [])
    short = ", ".join(f"{word} {where}" for where, word in words.items()) or "no run file could be read"
    caption = (
        "A step is forward, backward, update and everything that was recorded, on the machine that trained: the median "
        "of a run, then the median over the runs, the least and the greatest."
    )
    table = Table(caption=caption, heads=("what", "cost"), rows=tuple(rows))
    return ("cost", "; ".join(filter(None, (short, state)))), Section(title="Cost", body=(table,))


def _parameters(run: RunFile) -> int:
    return sum(int(np.prod(shape)) for _, shape in run.config.get("parameters") or ())


def _results(checks: Document | None) -> Sequence[Document]:
    return () if checks is None else checks["results"]


def _conformance(optimizer: str, cells: Sequence[Cell], checks: Document | None) -> tuple[Answer, Block]:
    title = "Conformance"
    if checks is None:
        words = (
            "Not given. Write the result of the conformance kit into the folder of the characterization, and draw the "
            "card again:"
        )
        command = Code(f"optiscope check {shlex.quote(optimizer)} --json > check-{slug(optimizer)}.json")
        return ("conformance", "not given"), Section(title=title, body=(Paragraph(words), command))
    results = _results(checks)
    failed = [str(each["name"]) for each in results if each["outcome"] == "failed"]
    warned = [str(each["name"]) for each in results if each["outcome"] == "warning"]
    short = f"{of(len(results), 'check')}: " + (f"failed: {', '.join(failed)}" if failed else "none failed")
    short += f"; to look at: {', '.join(warned)}" if warned else ""
    rows = tuple((str(each["name"]), str(each["outcome"]), str(each["why"])) for each in results)
    body: tuple[Block, ...] = (
        Table(caption="What 'optiscope check' said.", heads=("check", "result", "why"), rows=rows),
    )
    if other := _other_options(cells, checks):
        body = (Paragraph(f"The check had other options than the runs: {other}."), *body)
    return ("conformance", short), Section(title=title, body=body)


def _other_options(cells: Iterable[Cell], checks: Document) -> str:
    """Return the options that the check was given and that no cell has so."""
    given = {key: value for key, value in (checks.get("options") or {}).items() if key != "lr"}
    held = [cell.judged.get("options") or {} for cell in cells]
    return ", ".join(
        f"{key} {number(value)}" for key, value in given.items() if all(options.get(key) != value for options in held)
    )
