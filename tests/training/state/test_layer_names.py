"""Layers by structural names, and the layer to which a tensor of the state belongs."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from keras import layers
from training import models

from keras_repro.training.state.layer_names import layer_names, owners_of
from keras_repro.training.state.walk import model_state


def _named(model: Any) -> dict[str, str]:
    return {name: type(layer).__name__ for name, layer in layer_names(model)}


def _trained(build: Any, inputs: Any = models.data) -> Any:
    model = build()
    model.run_eagerly = True
    x, y = inputs()
    model.fit(x, y, batch_size=16, verbose=0)
    return model


def test_layers_of_a_sequential_model_are_named() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5), layers.Dense(1)])
    kinds = _named(model)
    names = {"layers/0": "Dense", "layers/1": "Dropout", "layers/2": "Dense"}
    assert {n: k for n, k in kinds.items() if n.startswith("layers/")} == names


def test_layers_of_a_functional_model_include_inputs() -> None:
    kinds = _named(models.functional())
    assert kinds == {
        "layers/0": "InputLayer",
        "layers/1": "Dense",
        "layers/2": "BatchNormalization",
        "layers/3": "Dropout",
        "layers/4": "Dense",
        "layers/5": "Concatenate",
        "layers/6": "Dense",
    }


def test_layers_in_lists_and_dicts_are_named() -> None:
    kinds = _named(models.subclassed())
    for name, kind in {
        "blocks/0": "Dense",
        "blocks/1/0": "Dense",
        "blocks/1/1": "Dropout",
        "heads/1": "Dense",
        "heads/a/0": "Dense",
        "heads/b": "Dense",
        "private": "Dense",
    }.items():
        assert kinds[name] == kind


def test_layers_of_nested_models_are_named() -> None:
    kinds = _named(models.nested())
    assert kinds["layers/1"] == "Sequential"
    assert kinds["layers/1/layers/0"] == "Sequential"
    assert kinds["layers/1/layers/0/layers/1"] == "Dropout"
    assert kinds["layers/1/layers/1"] == "Dense"


def test_shared_layer_has_one_name() -> None:
    model = models.shared_layers()
    listed = [layer for _, layer in layer_names(model)]
    assert len({id(layer) for layer in listed}) == len(listed)
    assert sum(isinstance(layer, layers.Dense) for layer in listed) == 2


def test_wrapped_layers_are_named() -> None:
    kinds = _named(models.bidirectional())
    assert kinds["layers/0"] == "Bidirectional"
    assert {kinds["layers/0/forward_layer"], kinds["layers/0/backward_layer"]} == {"LSTM"}
    assert kinds["layers/0/forward_layer/cell"] == "LSTMCell"


def test_layer_that_contains_itself_is_visited_once() -> None:
    class Loop(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.again = self
            self.inner = layers.Dense(1)
            self.listed = [self, [self.inner]]

    assert _named(Loop()) == {"inner": "Dense"}


@pytest.mark.parametrize("name", models.CASES)
def test_names_are_equal_when_built_again(name: str) -> None:
    build = models.CASES[name].build
    first, second = _named(build()), _named(build())
    assert first == second
    assert list(first) == list(second)


@pytest.mark.parametrize("name", models.CASES)
def test_name_of_a_weight_starts_with_the_name_of_its_layer(name: str) -> None:
    case = models.CASES[name]
    model = _trained(case.build, case.inputs)
    tensors = [t for t in model_state(model) if t.section == "weights"]
    owners = owners_of(model, tensors)
    # A variable that is an attribute of a plain object is in no layer.
    assert set(owners) == {t.name for t in tensors} - {"settings/threshold"}
    for tensor, (layer_name, layer) in owners.items():
        assert tensor.startswith(f"{layer_name}/") or layer is model, (tensor, layer_name)


def test_owners_are_the_innermost_layers() -> None:
    model = _trained(models.attention, models.sequences)
    owners = {n: (p, type(layer).__name__) for n, (p, layer) in owners_of(model, model_state(model)).items()}
    assert owners["layers/1/query_dense/kernel"] == ("layers/1/query_dense", "EinsumDense")
    assert owners["layers/2/gamma"] == ("layers/2", "LayerNormalization")
    assert [o for n, o in owners.items() if "seed_generator" in n] == [("layers/1/dropout_layer", "Dropout")]
    assert not any(n.startswith("optimizer/") for n in owners)


def test_variables_that_keras_does_not_list_have_an_owner() -> None:
    model = _trained(models.own_noise)
    owners = {n: (p, type(layer).__name__) for n, (p, layer) in owners_of(model, model_state(model)).items()}
    assert owners["layers/1/scale"] == owners["layers/1/random/state"] == ("layers/1", "OwnNoise")
