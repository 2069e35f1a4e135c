"""Hooks into the trainer of Keras 3."""

from __future__ import annotations

import sys
from typing import Any

import keras
import tensorflow as tf
from training import models

from keras_repro.training.backends.keras3_tf import trainer


def test_versions_of_loaded_frameworks() -> None:
    assert trainer.versions() == {"tensorflow": tf.__version__, "keras": keras.__version__}


def test_calling_callback_list_is_found() -> None:
    callback_lists: list[Any] = []

    class FindsList(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            callback_lists.append(trainer.calling_list(sys._getframe(0)))

    callback = FindsList()
    listed = keras.callbacks.CallbackList([callback])
    listed.on_train_begin()
    assert callback_lists == [listed]
    callback.on_train_begin()
    assert callback_lists[1] is None


def test_models_without_call_are_recognized() -> None:
    assert trainer.has_call(models.sequential())
    assert trainer.has_call(models.functional())
    assert trainer.has_call(models.subclassed())
    assert not trainer.has_call(models.gan())
