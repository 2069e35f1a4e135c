"""The configuration of a training, without counters in names and without running the user's code."""

from __future__ import annotations

import json
import random
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from training import models

from keras_repro.training.state.model_config import model_configuration


@pytest.mark.parametrize("name", models.CASES)
def test_configuration_is_equal_for_equal_models(name: str) -> None:
    built = [model_configuration(models.CASES[name].build()) for _ in range(2)]
    assert built[0] == built[1]
    assert json.loads(json.dumps(built[0])) == built[0]


def test_configuration_contains_the_settings() -> None:
    model = models.compiled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu"), layers.Dropout(0.25)]),
        optimizer=keras.optimizers.Adam(0.5),
        loss="mae",
        steps_per_execution=3,
    )
    configuration = model_configuration(model)
    layer_settings = {name: settings for name, settings in configuration["layers"] if name != "InputLayer"}
    assert layer_settings["Dense"]["units"] == 3
    assert layer_settings["Dense"]["activation"] == "relu"
    assert layer_settings["Dropout"]["rate"] == 0.25
    assert configuration["optimizer"][0] == "Adam"
    assert configuration["optimizer"][1]["learning_rate"] == 0.5
    assert (configuration["model"], configuration["loss"], configuration["steps_per_execution"]) == (
        "Sequential",
        "mae",
        3,
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda: keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dropout(0.5)]),
        lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.4)]),
        lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3, use_bias=False), layers.Dropout(0.5)]),
        lambda: keras.Sequential(
            [keras.Input((4,)), layers.Dense(3, dtype="mixed_bfloat16"), layers.Dropout(0.5)]
        ),
        lambda: keras.Sequential(
            [keras.Input((4,)), layers.Dense(3, kernel_initializer="he_normal"), layers.Dropout(0.5)]
        ),
    ],
    ids=["units", "rate", "bias", "precision", "initializer"],
)
def test_changed_setting_changes_the_configuration(change: Any) -> None:
    base = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5)])
    assert model_configuration(models.compiled(change())) != model_configuration(models.compiled(base))


class _Own(layers.Layer):
    def get_config(self) -> Any:
        random.random()
        raise AssertionError("the user's get_config was called")

    def call(self, x: Any) -> Any:
        return x


def test_get_config_of_the_user_is_not_called() -> None:
    model = models.compiled(keras.Sequential([keras.Input((4,)), _Own(), layers.Dense(1)]))
    before = random.getstate()
    configuration = model_configuration(model)
    assert ["_Own", {}] in configuration["layers"]
    assert random.getstate() == before


def test_code_of_a_lambda_is_not_recorded() -> None:
    factor = 3
    configuration = model_configuration(
        models.compiled(
            keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x * factor), layers.Dense(1)])
        )
    )
    settings = next(settings for name, settings in configuration["layers"] if name == "Lambda")
    assert settings["function"] == "<lambda>"


def test_arrays_and_very_large_settings_are_recorded_by_digest() -> None:
    table = layers.Normalization(mean=np.arange(4.0), variance=np.ones(4))
    configuration = model_configuration(
        models.compiled(keras.Sequential([keras.Input((4,)), table, layers.Dense(1)]))
    )
    assert len(json.dumps(configuration)) < 4000
    words = [f"word {i}" for i in range(40_000)]
    many = keras.Sequential([keras.Input((1,), dtype="string"), layers.StringLookup(vocabulary=words)])
    configuration = model_configuration(models.compiled(many))
    assert set(configuration["layers"]) == {"digest"}


def test_uncompiled_model_and_layer_have_a_configuration() -> None:
    assert model_configuration(keras.Sequential([layers.Dense(1)]))["optimizer"] is None
    assert model_configuration(layers.Dense(1))["model"] == "Dense"
