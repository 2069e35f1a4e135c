"""The trainer of Keras 3 on TensorFlow: hooks into `fit`, and what a model says about its training.

Private names checked with Keras 3.10 to 3.15: the modules below, `_resolve_auto_jit_compile`,
`_compile_config`, `_functional`, `_make_function`, `_flatten_layers`, `_symbolic_build`, `_maybe_rebuild` and
`name_scope`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from keras_repro.source_code.call_site import calling_object, frames_from
from keras_repro.training.backends.hooks import Call, Steps, Undo, add_hook

TRAINER_MODULE = "keras.src.backend.tensorflow.trainer"
# The base of the trainers of all backends of Keras.
BASE_TRAINER_MODULE = "keras.src.trainers.trainer"
# The base of all optimizers.
OPTIMIZER_MODULE = "keras.src.optimizers.base_optimizer"
# The functions that make datasets from folders.
DATASET_UTILS_MODULE = "keras.src.utils.dataset_utils"
# A program that imports one of these may train in a way that is not recorded.
OTHER_TRAINERS = {
    "tf_keras.src.engine.training": ("tf_keras models", "Model"),
    "keras.src.backend.jax.trainer": ("Keras on JAX", "JAXTrainer"),
    "keras.src.backend.torch.trainer": ("Keras on PyTorch", "TorchTrainer"),
}


def disable_auto_jit(module: Any) -> None:
    """Make `jit_compile="auto"` mean no XLA, in the module of Keras's base trainer."""
    trainer = getattr(module, "BaseTrainer", None) or module.Trainer
    if hasattr(trainer, "_resolve_auto_jit_compile"):
        trainer._resolve_auto_jit_compile = lambda self: False


def asks_for_xla(model: Any) -> bool:
    """Return whether a model was compiled with `jit_compile=True`, which op determinism overrides."""
    return getattr(getattr(model, "_compile_config", None), "config", {}).get("jit_compile") is True


def inner_model(model: Any) -> Any:
    """Return the Functional model that a Sequential one makes for itself, None for others."""
    return getattr(model, "_functional", None)


def versions() -> dict[str, str]:
    """Return the versions of the loaded frameworks."""
    loaded = {"tensorflow": sys.modules.get("tensorflow"), "keras": sys.modules.get("keras")}
    return {name: str(getattr(m, "__version__", "")) for name, m in loaded.items() if m is not None}


def has_call(model: Any) -> bool:
    """Return whether the model's class defines `call`; that of a GAN often has only a training step."""
    from keras import Model

    return type(model).call is not Model.call


def make_function(model: Any, step: Any) -> Any:
    """Return a traced function over an iterator, made as Keras makes one of `train_step`."""
    return model._make_function(step)


def flat_layers(model: Any, *, include_self: bool = False) -> list[Any]:
    """Return all layers of a model, nested ones too; none of what is no Keras model."""
    flatten = getattr(model, "_flatten_layers", None)
    return [] if flatten is None else list(flatten(include_self=include_self, recursive=True))


def build_on(model: Any, batch: Any) -> None:
    """Build a model, its metrics and its optimizer for a batch `(x, y, sample_weight)`, without a step."""
    model._symbolic_build(data_batch=batch)


def calling_list(frame: Any) -> Any:
    """Return the `CallbackList` that calls from `frame` or above it, else None."""
    from keras.callbacks import CallbackList

    return calling_object(frame, CallbackList)


def is_made_by_sequential(frame: Any) -> bool:
    """Return whether a Sequential model calls from `frame` or above it to make its inner model."""
    from keras.src.models.sequential import Sequential

    return any(
        isinstance(caller.f_locals.get("self"), Sequential)
        and caller.f_code.co_name in ("build", "_maybe_rebuild")
        for caller in frames_from(frame)
    )


def trainer_class() -> Any:
    """Return the class of all Keras models' trainer; its module has to be imported by now."""
    module = sys.modules[TRAINER_MODULE]
    return getattr(module, "TensorFlowTrainer", None) or module.Trainer


def watch_name_scopes(report: Callable[[str, str], None]) -> Undo:
    """Report the name scope of each layer that is called in a graph, and the layer's name.

    Returns:
        A function that ends it.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow import name_scope

    def enter(call: Call) -> Steps:
        yield
        caller = getattr(call.arguments["self"], "caller", None)
        if caller is not None and not tf.executing_eagerly():
            scope = tf.get_current_name_scope()
            if scope:
                report(scope, str(getattr(caller, "name", type(caller).__name__)))

    return add_hook(name_scope, "__enter__", enter)
