"""Trains portably: exact functions, an optimizer that leaves them alone, a look before the first step.

    mode = PortableMode(threads=1, strict=True)
    with mode:
        model.fit(...)                  # PortabilityError where the step is not known to be portable
    portability_of(model)     # {"level": "portable over x86-64 with AVX2, at any number of threads", ...}

What has to be pinned before Python or TensorFlow starts is pinned elsewhere (`control.portable`).
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

import wrapt

from keras_repro.determinism.portable_pins import GRAPH_OPTIMIZER
from keras_repro.errors import PortabilityError
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.train_function import TrainFunctionWrapper, unwrapped, wrappers_of
from keras_repro.training.graph.operation_source import source_of_operation
from keras_repro.training.portable.exact_functions import use_exact_functions
from keras_repro.training.portable.portability_level import PortabilityLevel, complaint


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
        # Of the batches that Keras last began to take: how many samples, and how many in a smaller last one.
        self._samples: int | None = None
        self._last: int | None = None

    def __enter__(self) -> PortableMode:
        self._depth += 1
        if self._depth == 1:
            self._undo.append(use_exact_functions())
            self._undo.append(_without_rewriting())
            self._undo.append(self._watch_keras())
            self._undo.append(self._watch_batches())
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

    def check(
        self, model: Any, function: Any, iterator: Any, *, step: str = "training"
    ) -> tuple[PortabilityLevel, Any]:
        """Looks at the step that a training or test function is about to run.

        Args:
            step: `"training"`, or `"validation"` for `evaluate`'s too.

        Returns:
            What was found, and what to call the function with.

        Raises:
            PortabilityError: something in it is not known to be portable, and the mode is strict.
        """
        from keras_repro.training.portable.operation_check import (
            Finding,
            find_unportable_operations,
            optimized_graph,
            traced_step,
        )
        from keras_repro.training.portable.thread_check import Threads, search_threads

        concrete, iterator = traced_step(function, iterator)
        if concrete is None:
            reason = "the step is run eagerly, or in a way that cannot be looked at: leave out run_eagerly"
            found: tuple[Finding, ...] = (Finding(operation=f"{_STEPS[step]}_step", reason=reason),)
            threads = Threads((1,), (f"{_STEPS[step]}_step",))
        else:
            graph = optimized_graph(concrete)
            found = find_unportable_operations(
                concrete, layers=_scopes, where=source_of_operation, graph=graph
            )
            sizes = _Sizes(concrete, function, iterator, self._samples, self._last)
            threads = search_threads(graph, shapes=sizes.graph, samples=sizes.samples, last=sizes.last)
            if backend.trainer.asks_for_xla(model) and not model.jit_compile:
                reason = (
                    "asks for XLA (jit_compile=True), which compiles for one kind of CPU, and which Keras "
                    "leaves out under op determinism: compile the model with jit_compile=False"
                )
                found = (Finding(operation=f"{_STEPS[step]}_step", reason=reason), *found)
        if found and self.strict:
            raise PortabilityError(complaint(model, found, step))
        return PortabilityLevel(self.threads, tuple(found), threads), iterator

    def _watch_batches(self) -> Callable[[], None]:
        """Hears of the size of the batches that Keras begins to take, from its own data adapter."""
        from keras.src.trainers.epoch_iterator import EpochIterator

        original = EpochIterator.__init__

        def begin(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> None:
            wrapped(*args, **kwargs)
            adapter = instance.data_adapter
            self._samples = _whole(getattr(adapter, "batch_size", None))
            last = getattr(adapter, "partial_batch_size", None) if self._samples else None
            self._last = _whole(last)

        EpochIterator.__init__ = wrapt.FunctionWrapper(original, begin)

        def undo() -> None:
            EpochIterator.__init__ = original

        return undo

    def _watch_keras(self) -> Callable[[], None]:
        """Has Keras make each model's functions within the mode, with a look before the training function."""
        trainer = sys.modules[backend.trainer.TRAINER_MODULE].TensorFlowTrainer
        originals = {n: trainer.__dict__[n] for n in _MAKERS}

        def wrapper(function_name: str) -> Callable[..., Any]:
            def make(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
                present = getattr(instance, function_name)
                if unwrapped(present) not in self._made:
                    # One that was traced outside of the mode has approximate functions in it.
                    kwargs = {"force": True}
                    args = ()
                result = wrapped(*args, **kwargs)
                made = getattr(instance, function_name)
                if made is not None and made is not present:
                    self._made.add(unwrapped(made))
                    if function_name in _LOOKED_AT:
                        PortabilityCheck(self, instance, function_name).install()
                return result

            return make

        for name, function_name in _MAKERS.items():
            setattr(trainer, name, wrapt.FunctionWrapper(originals[name], wrapper(function_name)))

        def undo() -> None:
            for name, original in originals.items():
                setattr(trainer, name, original)

        return undo


def portability_of(model: Any) -> dict[str, Any] | None:
    """What was found of the steps that a model has run, None where nobody looked at a training step.

    Returns:
        What stands in the ledger: `level` in words, `threads`, `findings`, `same_at` (the numbers of threads
        at which the steps are known to give the bits of one thread), `because` (what keeps others out).
    """
    steps = [_level_of(model, name) for name in _LOOKED_AT]
    if steps[0] is None:
        return None
    return functools.reduce(PortabilityLevel.__and__, [s for s in steps if s is not None]).to_dict()


class PortabilityCheck(TrainFunctionWrapper):
    """A function of a model with a look at its graph before the first step."""

    def __init__(self, mode: PortableMode, model: Any, attribute: str) -> None:
        super().__init__(model, attribute)
        self.level: PortabilityLevel | None = None
        self._mode, self._step = mode, _LOOKED_AT[attribute]

    def __call__(self, iterator: Any) -> Any:
        if self.level is None:
            self.level, iterator = self._mode.check(self._model, self.function, iterator, step=self._step)
        return self.function(iterator)


class _Sizes:
    """The size of the batches that a step is about to take, and its graph for them."""

    def __init__(
        self, concrete: Any, function: Any, iterator: Any, samples: int | None, last: int | None
    ) -> None:
        import tensorflow as tf

        self._concrete, self._function = concrete, function
        self._spec = getattr(iterator, "element_spec", None)
        known = self._spec is not None and all(
            one.shape.is_fully_defined() for one in tf.nest.flatten(self._spec) if hasattr(one, "shape")
        )
        # One batch by hand, or batches that are all alike: the step was traced for their size.
        self._fixed = self._spec is None or known
        self.samples = None if self._fixed else samples
        self.last = None if self._fixed else last

    def graph(self) -> Any | None:
        from keras_repro.training.graph.shapes import shaped_graph
        from keras_repro.training.portable.operation_check import step_over_a_batch

        if self._fixed:
            return self._concrete.graph
        single = step_over_a_batch(self._function)
        if single is None or self.samples is None:
            return None
        return shaped_graph(single, self._spec, samples=self.samples)


# What Keras makes a model's functions with, and where it puts them.
_MAKERS = {
    "make_train_function": "train_function",
    "make_test_function": "test_function",
    "make_predict_function": "predict_function",
}
# The functions whose graphs are looked at, and what the step of each is called; the training step first.
_LOOKED_AT = {"train_function": "training", "test_function": "validation"}
_STEPS = {"training": "train", "validation": "test"}
# Which layer each name scope belongs to. Names of other models do no harm: they have scopes of their own.
_scopes: dict[str, str] = {}


def _level_of(model: Any, name: str) -> PortabilityLevel | None:
    """What was found of a model's function, None where nobody looked."""
    wrappers = wrappers_of(getattr(model, name, None))
    return next((w.level for w in wrappers if isinstance(w, PortabilityCheck)), None)


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and value > 0 else None


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
