"""Train portably: exact functions, an optimizer that keeps them, and a check before the first step.

    mode = PortableMode(threads=1, strict=True)
    with mode:
        model.fit(...)            # PortabilityError if the step is not known to be portable
    portability_of(model)         # {"level": "portable over x86-64 with AVX2, at any number of threads", ...}

`determinism.portable_pins` pins what has to be set before Python or TensorFlow starts.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from types import TracebackType
from typing import Any

import tensorflow as tf

from keras_repro.determinism.portable_pins import GRAPH_OPTIMIZER
from keras_repro.errors import PortabilityError
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.hooks import Call, Handler, Steps, add_hook
from keras_repro.training.backends.train_function import TrainFunctionWrapper, unwrapped, wrappers_of
from keras_repro.training.graph.finding import Finding
from keras_repro.training.graph.shapes import shaped_graph
from keras_repro.training.graph.traced_step import traced_step
from keras_repro.training.portable.operation_check import find_unportable_operations
from keras_repro.training.portable.portability_level import PortabilityLevel, error_text
from keras_repro.training.portable.thread_check import ThreadInvariance, find_thread_invariance

# How Keras makes a model's functions, and the attribute that holds each.
_MAKERS = {
    "make_train_function": "train_function",
    "make_test_function": "test_function",
    "make_predict_function": "predict_function",
}
# The functions whose steps are checked, and the name of each step; the training step first.
_CHECKED = {"train_function": "training", "test_function": "validation"}
_STEP_METHODS = {"training": "train_step", "validation": "test_step"}
# The layer of each name scope, of all models: their scopes differ.
_scopes: dict[str, str] = {}


class PortableMode:
    """A context in which trainings are portable. It may be entered again, also while it is active.

    Args:
        threads: number of threads of the training; the guarantee holds for this number.
        strict: whether a step that is not known to be portable is an error; it is only recorded otherwise.
    """

    def __init__(self, *, threads: int = 1, strict: bool = True) -> None:
        self.threads = threads
        self.strict = strict
        self._undo = contextlib.ExitStack()
        self._depth = 0
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()
        # Number of samples in a batch of the latest data, and in a smaller last batch.
        self._samples: int | None = None
        self._last: int | None = None

    def __enter__(self) -> PortableMode:
        self._depth += 1
        if self._depth == 1:
            self._undo.callback(backend.exact_functions.use_exact_functions())
            self._undo.callback(backend.graph_optimizer.set_options(GRAPH_OPTIMIZER))
            self._hook_makers()
            self._undo.callback(backend.epoch_entry.watch_data_adapters(self._note_batch_size))
            self._undo.callback(_scopes.clear)
            self._undo.callback(backend.trainer.watch_name_scopes(_scopes.__setitem__))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._undo.close()

    def check(
        self, model: Any, function: Any, iterator: Any, *, step: str = "training"
    ) -> tuple[PortabilityLevel, Any]:
        """Check the step that a training or test function is about to run.

        Args:
            model: the model.
            function: its training or test function.
            iterator: the argument of the coming call.
            step: `"training"`, or `"validation"` for a test function.

        Returns:
            The level, and the argument for the call.

        Raises:
            PortabilityError: the step is not known to be portable, and the mode is strict.
        """
        method = _STEP_METHODS[step]
        concrete, iterator = traced_step(function, iterator)
        if concrete is None:
            reason = "the step is run eagerly, or in a way that cannot be inspected: remove run_eagerly"
            findings: tuple[Finding, ...] = (Finding(operation=method, reason=reason),)
            invariance = ThreadInvariance((1,), (method,))
        else:
            findings, invariance = self._inspect(concrete, function, iterator)
            if backend.trainer.asks_for_xla(model) and not model.jit_compile:
                reason = (
                    "asks for XLA (jit_compile=True), which compiles for one kind of CPU, and which Keras "
                    "leaves out under op determinism: compile the model with jit_compile=False"
                )
                findings = (Finding(operation=method, reason=reason), *findings)
        if findings and self.strict:
            raise PortabilityError(error_text(model, findings, step))
        return PortabilityLevel(self.threads, findings, invariance), iterator

    def _inspect(
        self, concrete: Any, function: Any, iterator: Any
    ) -> tuple[tuple[Finding, ...], ThreadInvariance]:
        graph = backend.graph_optimizer.optimized_graph(concrete)
        findings = find_unportable_operations(concrete, layers=_scopes, graph=graph)
        spec = getattr(iterator, "element_spec", None)
        # One batch of `train_on_batch`, or batches of one size: the step was traced for it.
        is_fixed = spec is None or all(
            part.shape.is_fully_defined() for part in tf.nest.flatten(spec) if hasattr(part, "shape")
        )
        samples, last = (None, None) if is_fixed else (self._samples, self._last)

        def shapes() -> Any | None:
            if is_fixed:
                return concrete.graph
            _, single = backend.graphs.step_functions(function)
            return None if single is None or samples is None else shaped_graph(single, spec, samples=samples)

        return findings, find_thread_invariance(graph, shapes=shapes, samples=samples, last=last)

    def _note_batch_size(self, adapter: Any) -> None:
        self._samples = _positive(getattr(adapter, "batch_size", None))
        self._last = _positive(getattr(adapter, "partial_batch_size", None)) if self._samples else None

    def _hook_makers(self) -> None:
        """Make each model's functions anew within the mode, and check those of `_CHECKED`."""

        def handler(attribute: str) -> Handler:
            def make(call: Call) -> Steps:
                instance = call.arguments["self"]
                present = getattr(instance, attribute)
                if unwrapped(present) not in self._made:
                    # It was traced outside of the mode, and contains approximate functions.
                    call.arguments["force"] = True
                yield
                made = getattr(instance, attribute)
                if made is not None and made is not present:
                    self._made.add(unwrapped(made))
                    if attribute in _CHECKED:
                        PortabilityCheck(self, instance, attribute).install()

            return make

        for name, attribute in _MAKERS.items():
            self._undo.callback(add_hook(backend.trainer.trainer_class(), name, handler(attribute)))


def portability_of(model: Any) -> dict[str, Any] | None:
    """Return how portable the steps are that a model has run; None if no training step was checked.

    Returns:
        The record in the ledger: `level` in words, `threads`, `findings`, `same_at` (thread counts known to
        give the bits of one thread), `because` (the operations that exclude others).
    """
    levels = [_level_of(model, attribute) for attribute in _CHECKED]
    if levels[0] is None:
        return None
    return functools.reduce(PortabilityLevel.__and__, (v for v in levels if v is not None)).to_dict()


class PortabilityCheck(TrainFunctionWrapper):
    """Check a function of a model before its first step.

    Args:
        mode: the mode that checks it.
        model: the model.
        attribute: as for `TrainFunctionWrapper`.

    Attributes:
        level: the result, None before the first step.
    """

    def __init__(self, mode: PortableMode, model: Any, attribute: str) -> None:
        super().__init__(model, attribute)
        self.level: PortabilityLevel | None = None
        self._mode, self._step = mode, _CHECKED[attribute]

    def __call__(self, iterator: Any) -> Any:
        if self.level is None:
            self.level, iterator = self._mode.check(self._model, self.function, iterator, step=self._step)
        return self.function(iterator)


def _level_of(model: Any, attribute: str) -> PortabilityLevel | None:
    wrappers = wrappers_of(getattr(model, attribute, None))
    return next((w.level for w in wrappers if isinstance(w, PortabilityCheck)), None)


def _positive(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and value > 0 else None
