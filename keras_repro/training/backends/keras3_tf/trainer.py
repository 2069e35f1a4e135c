"""The trainer of Keras 3 on TensorFlow: hooks into `fit`, and what a model says about its training.

Private names checked with Keras 3.15 and TensorFlow 2.21.
"""

from __future__ import annotations

import sys
from typing import Any

TRAINER_MODULE = "keras.src.backend.tensorflow.trainer"
# What all of its backends' trainers are made from.
BASE_TRAINER_MODULE = "keras.src.trainers.trainer"
# What all optimizers are made from.
OPTIMIZER_MODULE = "keras.src.optimizers.base_optimizer"
# Importing one of these tells that a training is out of our sight.
OTHER_TRAINERS = {
    "tf_keras.src.engine.training": ("tf_keras models", "Model"),
    "keras.src.backend.jax.trainer": ("Keras on JAX", "JAXTrainer"),
    "keras.src.backend.torch.trainer": ("Keras on PyTorch", "TorchTrainer"),
}


def leave_out_auto_jit(module: Any) -> None:
    """Makes `jit_compile="auto"` mean no XLA, in the module of Keras's base trainer."""
    if hasattr(module.Trainer, "_resolve_auto_jit_compile"):
        module.Trainer._resolve_auto_jit_compile = lambda self: False


def asks_for_xla(model: Any) -> bool:
    """Whether a model was compiled with `jit_compile=True`, which Keras leaves out under op determinism."""
    return getattr(getattr(model, "_compile_config", None), "config", {}).get("jit_compile") is True


def inner_model(model: Any) -> Any:
    """The Functional model that a Sequential one makes for itself, None for others."""
    return getattr(model, "_functional", None)


def versions() -> dict[str, str]:
    """Versions of the frameworks that are loaded."""
    loaded = {"tensorflow": sys.modules.get("tensorflow"), "keras": sys.modules.get("keras")}
    return {name: str(getattr(m, "__version__", "")) for name, m in loaded.items() if m is not None}


def has_call(model: Any) -> bool:
    """Whether the model's class says what it computes; a GAN often has only a training step."""
    from keras import Model

    return type(model).call is not Model.call


def build_on(model: Any, batch: Any) -> None:
    """Builds a model, its metrics and its optimizer for a batch `(x, y, sample_weight)`, without a step."""
    model._symbolic_build(data_batch=batch)


def calling_list(frame: Any) -> Any:
    """The Keras `CallbackList` that calls from `frame` or above it, else None."""
    from keras.callbacks import CallbackList

    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, CallbackList):
            return owner
        frame = frame.f_back
    return None


def calling_epoch_iterator(frame: Any) -> Any:
    """What Keras's `fit` takes its batches from, where it calls from `frame` or above it, else None."""
    from keras.src.trainers.epoch_iterator import EpochIterator

    while frame is not None:
        if frame.f_code.co_name == "fit":
            found = frame.f_locals.get("epoch_iterator")
            if isinstance(found, EpochIterator):
                return found
        frame = frame.f_back
    return None


def spec_of_batches(epoch_iterator: Any) -> Any:
    """The element spec of what a fit takes its batches from; None where that is no `tf.data.Dataset`."""
    import tensorflow as tf

    dataset = getattr(epoch_iterator, "_distributed_dataset", None)
    return dataset.element_spec if isinstance(dataset, tf.data.Dataset) else None


def steps_not_made(epoch_iterator: Any) -> int:
    """By how many steps Keras counts too far, as its data ended within a call for several steps.

    0 where the length of the data is not known beforehand.
    """
    length = getattr(epoch_iterator, "_num_batches", None)
    if not length or epoch_iterator.steps_per_execution == 1:
        return 0
    return max(0, int(epoch_iterator._steps_seen) - int(length))


def is_made_by_sequential(frame: Any) -> bool:
    """Whether a Sequential model calls from `frame` or above it: it makes a Functional one inside."""
    from keras.src.models.sequential import Sequential

    while frame is not None:
        if isinstance(frame.f_locals.get("self"), Sequential) and frame.f_code.co_name in (
            "build",
            "_maybe_rebuild",
        ):
            return True
        frame = frame.f_back
    return False
