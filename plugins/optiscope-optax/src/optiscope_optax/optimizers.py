"""Any optax GradientTransformation as an optimizer of optiscope.

Optax states an optimizer as two pure functions on trees of arrays:

    init(params) -> state                 update(grads, state, params) -> updates, state

An optimizer here changes named arrays in place. So `init` takes the tree of the state apart, and names its leaves by
the way that leads to them ("0.mu.conv1.weight"). An update puts the tree together again, lets optax do its work, and
copies what comes out over what was there. How the tree is put together follows from the options and the parameters
alone, so that nothing but arrays has to be kept.

All of it is one function, compiled by JAX when it is first called with arrays of some shapes. The learning rate is one
of its arguments, because a schedule changes it at every step; the options are constants in it, and instances with the
same ones share what was compiled.

A transformation without a `learning_rate` says in which direction to go. It is then chained with
`optax.scale_by_learning_rate`, which is how optax makes optimizers of them.

JAX computes on the CPU here, in 64-bit where the parameters have 64 bits, whatever the process is set to.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, get_args

import attrs
import jax
import numpy as np
import numpy.typing as npt
import optax

from optiscope.optim import Optimizer, State
from optiscope.params import Parameters

LR = "learning_rate"
TRIAL = Parameters.from_arrays({"bias": np.zeros(2), "weight": np.zeros((2, 2))})
"""What a transformation is tried on, when an instance is made."""

Tree = dict[str, Any]


@attrs.frozen
class _Rule:
    """A function of optax with its options: what is compiled once for all instances that have the same ones."""

    function: Callable[..., optax.GradientTransformation]
    options: Mapping[str, Any] = attrs.field(eq=False)
    _key: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        key: Any = tuple((name, type(value), value) for name, value in self.options.items())
        try:
            hash(key)
        except TypeError:  # an array, say: compiled for this instance alone
            key = object()
        object.__setattr__(self, "_key", key)

    def transformation(self, lr: Any) -> optax.GradientTransformation:
        """Return what optax makes of it."""
        if LR in inspect.signature(self.function).parameters:
            return self.function(**{LR: lr}, **self.options)
        return optax.chain(self.function(**self.options), optax.scale_by_learning_rate(lr))


def _step(rule: _Rule, params: Tree, grads: Tree, state: Tree, lr: Any) -> tuple[Tree, Tree]:
    """Return parameters and state after a step; what is made to learn the shape of the tree is never computed."""
    transformation = rule.transformation(lr)
    tree = transformation.init(params)
    names = _names(tree)
    before = jax.tree.unflatten(jax.tree.structure(tree), [state[name] for name in names])
    updates, after = transformation.update(grads, before, params)
    return optax.apply_updates(params, updates), dict(zip(names, jax.tree.leaves(after), strict=True))


_compiled = jax.jit(_step, static_argnums=0)


@attrs.define(kw_only=True)
class OptaxOptimizer(Optimizer):
    """A function of optax; the subclasses that `optimizers` makes have its options as fields.

    Values are checked by optax itself: one update is traced, not computed, when an instance is made. ValueError where
    that does not work, as for a transformation that wants the loss besides the gradient.
    """

    function: ClassVar[Callable[..., optax.GradientTransformation]]

    _rule: _Rule = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Ask optax whether it takes the options."""
        fields = (field for field in attrs.fields(type(self)) if field.init and field.name != "lr")
        function: Callable[..., optax.GradientTransformation] = type(self).function
        self._rule = _Rule(function, {field.alias: getattr(self, field.name) for field in fields})
        try:
            state = self.init(TRIAL)
            with _as(TRIAL.dtype):
                jax.eval_shape(partial(_step, self._rule), dict(TRIAL), dict(TRIAL), state, self.lr)
        except Exception as error:
            raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error

    def init(self, params: Parameters) -> State:
        """Return what optax begins with, by names such as `0.mu.conv1.weight`."""
        with _as(params.dtype):
            state = self._rule.transformation(self.lr).init(dict(params))
            return {name: np.array(leaf) for name, leaf in zip(_names(state), jax.tree.leaves(state), strict=True)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Let optax take one step."""
        with _as(params.dtype):
            stepped, after = _compiled(self._rule, dict(params), dict(grads), dict(state), self.lr)
        for name, array in stepped.items():
            np.copyto(params[name], np.asarray(array), casting="no")
        for name, array in after.items():
            np.copyto(state[name], np.asarray(array), casting="no")


def optimizers() -> Sequence[type[OptaxOptimizer]]:
    """Return a class for each function of optax and optax.contrib that returns a GradientTransformation.

    They are named "optax:lion" and "optax:contrib.prodigy". Functions that need more than numbers, such as
    transformations to be combined, are left out.
    """
    return [
        bridge(f"optax:{prefix}{name}", function)
        for prefix, namespace in (("", optax), ("contrib.", optax.contrib))
        for name, function in sorted(vars(namespace).items())
        if inspect.isfunction(function) and not name.startswith("_") and _is_optimizer(function)
    ]


def _is_optimizer(function: Callable[..., Any]) -> bool:
    signature = inspect.signature(function)
    returned = signature.return_annotation
    if not (isinstance(returned, type) and issubclass(returned, optax.GradientTransformation)):
        return False
    needed = [one for name, one in signature.parameters.items() if one.default is one.empty and name != LR]
    return all(any(each in (int, float) for each in (one.annotation, *get_args(one.annotation))) for one in needed)


def bridge(name: str, function: Callable[..., optax.GradientTransformation]) -> type[OptaxOptimizer]:
    """Return a class called `name` whose options are the parameters of `function`, those with plain defaults."""
    parameters = dict(inspect.signature(function).parameters)
    lr = parameters.pop(LR, None)
    default: Any = lr.default if lr is not None and isinstance(lr.default, float) else attrs.NOTHING
    fields = {
        key: attrs.field(default=attrs.NOTHING if each.default is each.empty else each.default, type=each.annotation)
        for key, each in parameters.items()
        if each.default is each.empty or _is_plain(each.default)
    }
    fields["lr"] = attrs.field(default=default, type=float, validator=attrs.fields(Optimizer).lr.validator)
    body = {
        "name": name,
        "function": staticmethod(function),
        "__doc__": function.__doc__,
        "__module__": __name__,
    }
    made: type[OptaxOptimizer] = attrs.make_class(
        function.__name__, fields, bases=(OptaxOptimizer,), class_body=body, kw_only=True, slots=True
    )
    return made


def _is_plain(value: Any) -> bool:
    """Say whether a default can be written down; masks, types and functions keep optax's own, and are no options."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _names(tree: Any) -> list[str]:
    """Return how each leaf of a tree is called, after the way that leads to it."""
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree.leaves_with_path(tree)]


@contextmanager
def _as(dtype: npt.DTypeLike) -> Iterator[None]:
    with jax.enable_x64(dtype == np.float64), jax.default_device(jax.devices("cpu")[0]):
        yield
