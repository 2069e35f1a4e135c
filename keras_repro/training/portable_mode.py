"""Trains portably: exact functions, an optimizer that leaves them alone, a look before the first step.

    mode = PortableMode(threads=1, strict=True)
    with mode:
        model.fit(...)                  # PortabilityError where the step is not known to be portable
    portability_of(model)               # {"level": "portable over x86-64 with AVX2, at 1 thread", ...}

What has to be pinned before Python or TensorFlow starts is pinned elsewhere (`control.portable`).
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

import wrapt

from keras_repro.control.exact import use_exact_functions
from keras_repro.control.portable import GRAPH_OPTIMIZER, promise
from keras_repro.errors import PortabilityError
from keras_repro.training import keras_api

_MOST_SAID = 8


class PortableMode:
    """A portable training, from entering to leaving; it may be entered again.

    Args:
        threads: how many the training runs with: part of what it promises.
        strict: whether what is not known to be portable is an error; it is recorded otherwise.
    """

    def __init__(self, *, threads: int = 1, strict: bool = True) -> None:
        self.threads = threads
        self.strict = strict
        self._undo: list[Callable[[], None]] = []
        self._depth = 0
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()

    def __enter__(self) -> PortableMode:
        self._depth += 1
        if self._depth == 1:
            self._undo.append(use_exact_functions())
            self._undo.append(_without_rewriting())
            self._undo.append(self._watch_keras())
            self._undo.append(_note_name_scopes())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._depth -= 1
        while self._undo and not self._depth:
            self._undo.pop()()

    def check(self, model: Any, function: Any, iterator: Any) -> tuple[dict[str, Any], Any]:
        """Looks at the step that a training function is about to run.

        Returns:
            What stands in the ledger: `level`, `threads`, `findings`; and what to call the function with.

        Raises:
            PortabilityError: something in it is not known to be portable, and the mode is strict.
        """
        from keras_repro.training.graph_search import Finding, search, traced_step

        concrete, iterator = traced_step(function, iterator)
        if concrete is None:
            reason = "the step is run eagerly, or in a way that cannot be looked at: leave out run_eagerly"
            found: tuple[Finding, ...] = (Finding(operation="train_step", reason=reason),)
        else:
            found = search(concrete, layers=_scopes, where=_place_of)
        if found and self.strict:
            raise PortabilityError(_complaint(model, found))
        level = f"not portable: {_counted(found)}" if found else promise(self.threads)
        return {
            "level": level,
            "threads": self.threads,
            "findings": [f.to_dict() for f in found[:100]],
        }, iterator

    def _watch_keras(self) -> Callable[[], None]:
        """Has Keras make each model's functions within the mode, with a look before the training function."""
        trainer = sys.modules[keras_api.TRAINER_MODULE].TensorFlowTrainer
        originals = {n: trainer.__dict__[n] for n in _MAKERS}

        def wrapper(function_name: str) -> Callable[..., Any]:
            def make(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
                present = getattr(instance, function_name)
                if not any(f in self._made for f in _chain(present)):
                    # One that was traced outside of the mode has approximate functions in it.
                    kwargs = {"force": True}
                    args = ()
                result = wrapped(*args, **kwargs)
                made = getattr(instance, function_name)
                if made is not None and made is not present:
                    if function_name == "train_function":
                        made = instance.train_function = _Checked(self, instance, made)
                    self._made.add(made)
                return result

            return make

        for name, function_name in _MAKERS.items():
            setattr(trainer, name, wrapt.FunctionWrapper(originals[name], wrapper(function_name)))

        def undo() -> None:
            for name, original in originals.items():
                setattr(trainer, name, original)

        return undo


def portability_of(model: Any) -> dict[str, Any] | None:
    """What was found of the training step that a model has run, None where nobody looked."""
    found = [f for f in _chain(getattr(model, "train_function", None)) if isinstance(f, _Checked)]
    return found[0].portability if found else None


class _Checked:
    """A model's training function with a look at its graph before the first step."""

    def __init__(self, mode: PortableMode, model: Any, function: Any) -> None:
        self.function = function
        self.portability: dict[str, Any] | None = None
        self._mode, self._model = mode, model

    def __call__(self, iterator: Any) -> Any:
        if self.portability is None:
            self.portability, iterator = self._mode.check(self._model, self.function, iterator)
        return self.function(iterator)


# What Keras makes a model's functions with, and where it puts them.
_MAKERS = {
    "make_train_function": "train_function",
    "make_test_function": "test_function",
    "make_predict_function": "predict_function",
}
# Which layer each name scope belongs to. Names of other models do no harm: they have scopes of their own.
_scopes: dict[str, str] = {}


def _chain(function: Any) -> list[Any]:
    """A function of a model and what stands before it, the first to be called first."""
    found = []
    while function is not None:
        found.append(function)
        function = getattr(function, "function", None)
    return found


def _note_name_scopes() -> Callable[[], None]:
    """Notes the name scope that Keras gives each layer as it is called in a graph."""
    import tensorflow as tf
    from keras.src.backend.tensorflow import core

    original = core.name_scope.__enter__

    def enter(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        caller = getattr(instance, "caller", None)
        if caller is not None and not tf.executing_eagerly():
            scope = tf.get_current_name_scope()
            if scope:
                _scopes[scope] = str(getattr(caller, "name", type(caller).__name__))
        return result

    core.name_scope.__enter__ = wrapt.FunctionWrapper(original, enter)

    def undo() -> None:
        core.name_scope.__enter__ = original
        _scopes.clear()

    return undo


def _without_rewriting() -> Callable[[], None]:
    """Turns off the graph optimizers that put approximate functions back."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    before = dict(context.context()._optimizer_experimental_options)
    tf.config.optimizer.set_experimental_options(dict(GRAPH_OPTIMIZER))

    def undo() -> None:
        now = context.context()
        for name in GRAPH_OPTIMIZER:
            now._optimizer_experimental_options.pop(name, None)
        now.set_optimizer_experimental_options({n: v for n, v in before.items() if n in GRAPH_OPTIMIZER})

    return undo


def _place_of(operation: Any) -> str:
    """Where an operation is made: the innermost line outside of TensorFlow and of us, as `file:line`."""
    from keras_repro.training.source import is_users_file

    frames = [f for f in operation.traceback if not _is_passed_over(f.filename)]
    users = [f for f in frames if is_users_file(f.filename)]
    # A line of the user's below Keras's `fit` says more than the one that calls it.
    fit = next((i for i, f in enumerate(frames) if "/keras/src/" in f.filename), None)
    below = [f for f in users if fit is not None and frames.index(f) > fit]
    chosen = below[-1] if below else frames[-1] if frames else None
    return "" if chosen is None else f"{_short(chosen.filename)}:{chosen.lineno}"


def _is_passed_over(file: str) -> bool:
    return "/tensorflow/" in file or "/keras_repro/" in file or file.startswith("<")


def _short(file: str) -> str:
    """A library's file from its package on; the user's by its name."""
    _, found, rest = file.rpartition("/site-packages/")
    return rest if found else file.rpartition("/")[2]


def _counted(found: Any) -> str:
    total = sum(f.count for f in found)
    kinds = ", ".join(sorted({f.operation for f in found})[:_MOST_SAID])
    return f"{total} operation{'' if total == 1 else 's'} not known to be portable ({kinds})"


def _complaint(model: Any, found: Any) -> str:
    lines = [f"  {f}" for f in found[:_MOST_SAID]]
    if len(found) > _MOST_SAID:
        lines.append(f"  and {len(found) - _MOST_SAID} more")
    return "\n".join(
        [
            f"the training step of {model.name!r} is not portable to another CPU; nothing was trained:",
            *lines,
            "replace them, or have it recorded as not portable: strict=False, or --allow-unportable",
        ]
    )
