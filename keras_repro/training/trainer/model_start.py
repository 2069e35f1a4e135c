"""`ModelStart`: the initial state of a live model, restored before each run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_repro.determinism.seeds import derive, set_generator
from keras_repro.errors import ReproError
from keras_repro.training.backends.active import backend
from keras_repro.training.state.initial_values import InitialValues
from keras_repro.training.state.walk import model_state


def check_compiled(model: keras.Model, which: str) -> None:
    """Raise ReproError if a model is not compiled; `which` names it."""
    if not getattr(model, "compiled", False):
        raise ReproError(f"{which} is not compiled: call model.compile(...) first")


class ModelStart:
    """The values of all variables of a model at the time of this call.

    Variables that are created later, such as the slots of an optimizer that the model holds as an attribute,
    are restored to their initial values.

    Args:
        model: a compiled model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        # None until the model is built. A model that Keras has not built is built with the seed.
        self._values: dict[int, tuple[Any, np.ndarray]] | None = None
        self._created_during_fit: set[int] = set()
        if model.built and _is_completely_built(model):
            self._values = _values_of(model)

    def restore(self, seed: int, first_batch: Callable[[], Any]) -> None:
        """Restore the model, and set its seed generators from the seed.

        Args:
            seed: the run's seed.
            first_batch: returns `(x, y, sample_weight)` of a batch on which to build the model, or None.
        """
        if self._values is None:
            # What cannot be built now is created in the first step, with the same seed.
            batch = first_batch() if backend.trainer.has_call(self.model) else None
            if batch is not None:
                backend.trainer.build_on(self.model, batch)
            self._values = _values_of(self.model)
        for tensor in model_state(self.model):
            if tensor.generator is not None and not self.created_during_fit(tensor.variable):
                if tensor.name.startswith("global_seed_generator"):
                    continue  # Keras makes a new one from the seed
                set_generator(tensor.generator, derive(seed, tensor.name.removesuffix("/state")))
            elif id(tensor.variable) in self._values:
                tensor.variable.assign(self._values[id(tensor.variable)][1])
            elif tensor.section != "metrics":
                raise ReproError(
                    f"{tensor.name} was created during the last fit, so its initial value cannot be "
                    "restored: pass ReproducibleTrainer a function that builds the model"
                )
        # The trace holds operation seeds of the previous run.
        self.model.make_train_function(force=True)

    def add(self, created: InitialValues) -> None:
        """Add the initial values of variables that a fit has created."""
        if self._values is None:
            return
        for tensor in model_state(self.model):
            key = id(tensor.variable)
            if key not in self._values and key in created.values:
                self._values[key] = (tensor.variable, created.values[key])
                self._created_during_fit.add(key)

    def created_during_fit(self, variable: Any) -> bool:
        """Return whether a fit has created a variable."""
        return id(variable) in self._created_during_fit


def _values_of(model: Any) -> dict[int, tuple[Any, np.ndarray]]:
    return {
        id(t.variable): (t.variable, np.array(t.variable.numpy()))
        for t in model_state(model)
        if t.generator is None
    }


def _is_completely_built(model: Any) -> bool:
    """Return whether all layers are built; builds the optimizer."""
    optimizer = getattr(model, "optimizer", None)
    if isinstance(optimizer, keras.Optimizer) and not optimizer.built and model.trainable_variables:
        optimizer.build(model.trainable_variables)
    return all(layer.built for layer in backend.trainer.flat_layers(model, include_self=True))
