"""What a training was set to, without names that count up and without running the user's code."""

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
def test_it_is_the_same_for_the_same_model(name: str) -> None:
    built = [model_configuration(models.CASES[name].build()) for _ in range(2)]
    assert built[0] == built[1]
    assert json.loads(json.dumps(built[0])) == built[0]


def test_it_says_what_was_set() -> None:
    model = models.compiled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu"), layers.Dropout(0.25)]),
        optimizer=keras.optimizers.Adam(0.5),
        loss="mae",
        steps_per_execution=3,
    )
    told = model_configuration(model)
    layers_told = {name: settings for name, settings in told["layers"] if name != "InputLayer"}
    assert layers_told["Dense"]["units"] == 3
    assert layers_told["Dense"]["activation"] == "relu"
    assert layers_told["Dropout"]["rate"] == 0.25
    assert told["optimizer"][0] == "Adam"
    assert told["optimizer"][1]["learning_rate"] == 0.5
    assert (told["model"], told["loss"], told["steps_per_execution"]) == ("Sequential", "mae", 3)


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
def test_a_changed_setting_is_seen(change: Any) -> None:
    base = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5)])
    assert model_configuration(models.compiled(change())) != model_configuration(models.compiled(base))


class _Mine(layers.Layer):
    def get_config(self) -> Any:
        random.random()
        raise AssertionError("the user's get_config was called")

    def call(self, x: Any) -> Any:
        return x


def test_the_users_own_configuration_is_not_asked_for() -> None:
    model = models.compiled(keras.Sequential([keras.Input((4,)), _Mine(), layers.Dense(1)]))
    before = random.getstate()
    told = model_configuration(model)
    assert ["_Mine", {}] in told["layers"]
    assert random.getstate() == before


def test_code_of_a_lambda_stays_out() -> None:
    factor = 3
    told = model_configuration(
        models.compiled(
            keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x * factor), layers.Dense(1)])
        )
    )
    settings = next(settings for name, settings in told["layers"] if name == "Lambda")
    assert settings["function"] == "<lambda>"


def test_arrays_and_very_large_settings_are_recorded_by_digest() -> None:
    table = layers.Normalization(mean=np.arange(4.0), variance=np.ones(4))
    told = model_configuration(models.compiled(keras.Sequential([keras.Input((4,)), table, layers.Dense(1)])))
    assert len(json.dumps(told)) < 4000
    words = [f"word {i}" for i in range(40_000)]
    many = keras.Sequential([keras.Input((1,), dtype="string"), layers.StringLookup(vocabulary=words)])
    told = model_configuration(models.compiled(many))
    assert set(told["layers"]) == {"digest"}


def test_a_model_that_is_not_compiled_and_a_layer_have_a_configuration() -> None:
    assert model_configuration(keras.Sequential([layers.Dense(1)]))["optimizer"] is None
    assert model_configuration(layers.Dense(1))["model"] == "Dense"
