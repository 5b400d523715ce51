"""How many mistakes does the conformance kit find? Each is made by a machine, in the source of a shipped optimizer:

    uv run python tests/benchmarks/mutants.py

An operator is swapped, a constant changed, a comparison turned, a condition negated, a statement dropped, or two
statements change places. The kit then compares the mutant with the original, and runs the checks of the contract and of
behaviour. A mutant is killed by a check that fails, or warns, where it does not do so with the original. What several
optimizers import is mutated as well, and put to all of them.

What decorators are told is left alone, since it says how an instance is made and nothing of a step. The survivors are
listed, and are not all mistakes: some compute the same thing in another way. They count as survivors.
"""

from __future__ import annotations

import argparse
import ast
import copy
import inspect
import itertools
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any
from unittest import mock

import attrs

from optiscope.hooks import create_manager
from optiscope.testing import CHECKS, Subject, check

LEFT_OUT = ("fresh-process", "gradient-scale", "permutation", "rotation", "state-size", "step-time", "fingerprint")
"""Checks that a mutant is not put to: facts, and what takes a process of its own."""


SHARED = ("optiscope.optim.base", "optiscope_optimizers.parts")
"""What several of the optimizers import: a mutant of it is put to all of those, until it is killed."""

LIMIT = 60
"""Seconds of processor time after which a mutant counts as killed: it does not end."""

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@attrs.frozen
class Mutant:
    """A changed module: what was changed, on which line, and in which class ("" outside of all)."""

    what: str
    line: int
    inside: str
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, one change each."""
    tree = ast.parse(source)
    told = {
        id(part) for node in ast.walk(tree) for each in getattr(node, "decorator_list", ()) for part in ast.walk(each)
    }
    for number, node in enumerate(ast.walk(tree)):
        for what, line, change in _changes(node) if id(node) not in told else ():
            mutated = copy.deepcopy(tree)
            change(next(other for at, other in enumerate(ast.walk(mutated)) if at == number))
            yield Mutant(what, line, _inside(tree, line), ast.fix_missing_locations(mutated))


def _inside(tree: ast.Module, line: int) -> str:
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return next((node.name for node in classes if node.lineno <= line <= (node.end_lineno or 0)), "")


Change = tuple[str, int, Callable[[Any], None]]
"""What is changed in words, on which line, and a function that changes a copy of the node."""


def _changes(node: Any) -> Iterator[Change]:
    """Yield each change of one node."""
    line = getattr(node, "lineno", 0)
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and type(node.op) in SWAPS and not _is_type(node):
        yield _swap_words(node.op), line, lambda copied: setattr(copied, "op", SWAPS[type(copied.op)]())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield _swap_words(node.ops[0]), line, lambda copied: copied.ops.__setitem__(0, SWAPS[type(copied.ops[0])]())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "minus dropped", line, lambda copied: setattr(copied, "op", ast.UAdd())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        other = _other(node.value)
        yield f"{node.value} is {other}", line, lambda copied: setattr(copied, "value", other)
    if isinstance(node, (ast.If, ast.IfExp)):
        yield "condition negated", line, lambda copied: setattr(copied, "test", ast.UnaryOp(ast.Not(), copied.test))
    if isinstance(node, (ast.FunctionDef, ast.For, ast.If)):
        yield from _statements(node.body)


def _is_type(node: ast.AST) -> bool:
    """Say whether this is `int | None` and the like."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)


def _swap_words(operator: ast.AST) -> str:
    return f"{type(operator).__name__} is {SWAPS[type(operator)].__name__}"


def _other(value: float) -> float:
    if isinstance(value, bool):
        return not value
    return 1 if value == 0 else 2 * value if isinstance(value, int) else 0.5 * value


def _statements(body: Sequence[ast.stmt]) -> Iterator[Change]:
    code = [at for at, statement in enumerate(body) if not _is_text(statement)]
    first = [ast.unparse(statement).splitlines()[0] for statement in body]
    for at in code:
        yield f"dropped: {first[at]}", body[at].lineno, partial(_drop, at=at)
    for one, other in itertools.pairwise(code):
        if not isinstance(body[other], ast.Return):
            yield f"swapped: {first[one]} / {first[other]}", body[one].lineno, partial(_swap, one=one, other=other)


def _drop(node: Any, at: int) -> None:
    node.body[at] = ast.Pass()


def _swap(node: Any, one: int, other: int) -> None:
    node.body[one], node.body[other] = node.body[other], node.body[one]


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@attrs.frozen
class Shipped:
    """A module with registered optimizers, by name; `findings` are what the kit finds in each as it is."""

    module: ModuleType
    factories: dict[str, type]
    findings: dict[str, frozenset[str]]


def shipped(only: Sequence[str] = ()) -> list[Shipped]:
    """Return the modules of all registered optimizers that are classes, or of those named in `only`."""
    modules: dict[str, dict[str, type]] = {}
    for name, piece in create_manager().pieces("optimizers").items():
        if inspect.isclass(piece.factory) and (not only or name in only):
            modules.setdefault(piece.factory.__module__, {})[name] = piece.factory
    return [
        Shipped(
            sys.modules[module],
            factories,
            {name: frozenset(_findings(factory, factory, name)) for name, factory in factories.items()},
        )
        for module, factories in modules.items()
    ]


def _findings(factory: type, original: type, name: str) -> Iterator[str]:
    """Yield what fails or warns: the check and the outcome."""
    subject = Subject(factory=factory, known={name: original}, against=name)
    for one in ("against", *(one for one in CHECKS if one not in (*LEFT_OUT, "against"))):
        outcome = check(subject, one).outcome
        if outcome in ("failed", "warning"):
            yield f"{one} {outcome}"


def killer(mutant: Mutant, original: Shipped) -> str:
    """Return the check that kills `mutant`, "" if none does."""
    try:
        module = _executed(mutant.tree, original.module)
    except Exception:
        return "import"
    return _found(module, original, mutant.inside)


def shared_killer(mutant: Mutant, shared: ModuleType, originals: Sequence[Shipped]) -> str:
    """Return the check that kills a mutant of what `originals` import, "" if none does."""
    try:
        module = _executed(mutant.tree, shared)
    except Exception:
        return "import"
    for original in originals:
        with mock.patch.dict(sys.modules, {shared.__name__: module}):
            try:
                again = _executed(ast.parse(inspect.getsource(original.module)), original.module)
            except Exception:
                return "import"
        if found := _found(again, original):
            return found
    return ""


def _executed(tree: ast.Module, original: ModuleType) -> ModuleType:
    module = ModuleType(f"mutant_of_{original.__name__.replace('.', '_')}")
    sys.modules[module.__name__] = module
    exec(compile(tree, module.__name__, "exec"), vars(module))
    return module


def _found(module: ModuleType, original: Shipped, inside: str = "") -> str:
    """Return what is wrong with the first factory of a changed module that is wrong; `inside` names a class."""
    for name, factory in original.factories.items():
        mutated = getattr(module, factory.__name__)
        if inside and inside not in [base.__name__ for base in mutated.__mro__]:
            continue
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
            findings = _findings(mutated, factory, name)
            found = next((one for one in findings if one not in original.findings[name]), "")
        except Exception as error:
            return type(error).__name__
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if found:
            return found
    return ""


class _TooLongError(Exception):
    pass


def _alarm(*_: object) -> None:
    raise _TooLongError


def trial(module: ModuleType, every: int, kill: Callable[[Mutant], str]) -> tuple[int, int]:
    """Put every N-th mutant of a module to `kill`, print who survives, and return how many were killed, of how many."""
    source = inspect.getsource(module)
    chosen = list(mutants(source))[::every]
    survivors = [mutant for mutant in chosen if not kill(mutant)]
    killed = len(chosen) - len(survivors)
    print(f"{module.__name__}: {killed} of {len(chosen)} killed", flush=True)
    for mutant in survivors:
        text = source.splitlines()[mutant.line - 1].strip()
        print(f"    survives, line {mutant.line}: {mutant.what}    {text}", flush=True)
    return killed, len(chosen)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Mutate the shipped optimizers, and count whom the kit finds.")
    parser.add_argument(
        "--only", nargs="+", default=[], help="names of optimizers, and of what they share: base, parts (all)"
    )
    parser.add_argument("--every", type=int, default=1, help="take every N-th mutant only (1)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGVTALRM, _alarm)
    began = time.perf_counter()
    only, shared = set(options.only), {name.rpartition(".")[2]: name for name in SHARED}
    originals = shipped(() if only & shared.keys() else options.only)
    own = [each for each in originals if not only or only & each.factories.keys()]
    counts = [trial(each.module, options.every, partial(killer, original=each)) for each in own]
    for name in [name for short, name in shared.items() if not only or short in only]:
        users = [each for each in originals if f"from {name} import" in inspect.getsource(each.module)]
        module = sys.modules[name]
        counts.append(trial(module, options.every, partial(shared_killer, shared=module, originals=users)))
    killed, total = (sum(column) for column in zip(*counts, strict=True))
    seconds = time.perf_counter() - began
    print(f"{killed} of {total} mutants killed, {killed / max(total, 1):.1%}, in {seconds:.0f} s")


if __name__ == "__main__":
    main()
