"""The start of a model that exists already: its weights and all else, to come back to before each run."""

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


class ModelStart:
    """Values of all of a model's variables, taken when it is made.

    Variables that are made later (the slots of an optimizer that the model holds as an attribute) go back
    to the value that they were born with.

    Args:
        model: a compiled model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        # A model that Keras has not built yet has no weights to keep: it is built under the seed.
        self._values: dict[int, tuple[Any, np.ndarray]] | None = None
        self._later: set[int] = set()
        if model.built and _has_optimizer_built(model):
            self._take()

    def restore(self, seed: int, first_batch: Callable[[], Any]) -> None:
        """Brings the model back to its start, with its seed generators set from the seed.

        Args:
            seed: the run's seed.
            first_batch: gives `(x, y, sample_weight)` of one batch, to build a model that is not built; None
                where there is none to be had.
        """
        if self._values is None:
            # What cannot be built now is born in the first step, under the same seed.
            batch = first_batch() if backend.trainer.has_call(self.model) else None
            if batch is not None:
                backend.trainer.build_on(self.model, batch)
            self._take()
        values = self._values or {}
        for tensor in model_state(self.model):
            if tensor.generator is not None and not self.was_later(tensor.variable):
                if tensor.name.startswith("global_seed_generator"):
                    continue  # made anew from the seed
                set_generator(tensor.generator, derive(seed, tensor.name.removesuffix("/state")))
            elif id(tensor.variable) in values:
                tensor.variable.assign(values[id(tensor.variable)][1])
            elif tensor.section != "metrics":
                raise ReproError(
                    f"{tensor.name} was made during the last fit and its first value is not known: "
                    "give ReproducibleTrainer a function that builds the model"
                )
        # What a traced step keeps of its first run (operation seeds) must not reach the second.
        self.model.make_train_function(force=True)

    def add_births(self, births: InitialValues) -> None:
        """Takes in the first values of variables that a fit has made."""
        if self._values is None:
            return
        for tensor in model_state(self.model):
            key = id(tensor.variable)
            if key not in self._values and key in births.values:
                self._values[key] = (tensor.variable, births.values[key])
                self._later.add(key)

    def was_later(self, variable: Any) -> bool:
        """Whether a variable was made by a fit, and not there at the start of the first."""
        return id(variable) in self._later

    def _take(self) -> None:
        self._values = {
            id(t.variable): (t.variable, np.array(t.variable.numpy()))
            for t in model_state(self.model)
            if t.generator is None
        }


def _has_optimizer_built(model: Any) -> bool:
    optimizer = getattr(model, "optimizer", None)
    if isinstance(optimizer, keras.Optimizer) and not optimizer.built and model.trainable_variables:
        optimizer.build(model.trainable_variables)
    return all(layer.built for layer in backend.trainer.flat_layers(model, include_self=True))
