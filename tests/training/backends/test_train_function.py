"""Wrappers of a model's training function can be installed and uninstalled in any order."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from training import models

from keras_repro.training.backends.train_function import TrainFunctionWrapper, unwrapped, wrappers_of


class _Named(TrainFunctionWrapper):
    def __init__(self, model: Any, name: str) -> None:
        super().__init__(model)
        self.name = name

    def __call__(self, *arguments: Any) -> Any:
        return [self.name, *self.function(*arguments)]


def _model() -> Any:
    return SimpleNamespace(train_function=lambda iterator: [iterator], test_function=None)


def test_last_installed_wrapper_is_called_first() -> None:
    model = _model()
    keras_function = model.train_function
    first, second = _Named(model, "first"), _Named(model, "second")
    first.install()
    second.install()
    assert model.train_function("batch") == ["second", "first", "batch"]
    assert list(wrappers_of(model.train_function)) == [second, first]
    assert unwrapped(model.train_function) is keras_function


def test_wrapper_is_installed_once() -> None:
    model = _model()
    first, second = _Named(model, "first"), _Named(model, "second")
    for wrapper in (first, second, first):
        wrapper.install()
    assert model.train_function("batch") == ["second", "first", "batch"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_wrappers_are_uninstalled_in_any_order(order: tuple[int, ...]) -> None:
    model = _model()
    keras_function = model.train_function
    wrappers = [_Named(model, str(number)) for number in range(3)]
    for wrapper in wrappers:
        wrapper.install()
    left = ["2", "1", "0"]
    for number in order:
        wrappers[number].uninstall()
        left.remove(str(number))
        assert model.train_function("batch") == [*left, "batch"]
    assert model.train_function is keras_function


def test_uninstalling_twice_does_nothing() -> None:
    model = _model()
    first, second = _Named(model, "first"), _Named(model, "second")
    first.install()
    second.install()
    for _ in range(2):
        first.uninstall()
        assert model.train_function("batch") == ["second", "batch"]


def test_wrapper_may_uninstall_itself_during_its_call() -> None:
    class Once(TrainFunctionWrapper):
        def __call__(self, *arguments: Any) -> Any:
            self.uninstall()
            return self.function(*arguments)

    model = _model()
    Once(model).install()
    _Named(model, "outer").install()
    assert model.train_function("batch") == ["outer", "batch"]
    assert [type(w) for w in wrappers_of(model.train_function)] == [_Named]


def test_another_function_of_a_model_is_wrapped() -> None:
    model = _model()
    model.test_function = keras_function = lambda iterator: [iterator]
    wrapper = TrainFunctionWrapper(model, "test_function")
    wrapper.install()
    assert model.test_function("batch") == ["batch"]
    assert model.test_function is wrapper
    wrapper.uninstall()
    assert model.test_function is keras_function


def test_function_remade_by_keras_is_wrapped_again() -> None:
    models.fresh()
    model = models.functional()
    model.make_train_function()
    wrapper = _Named(model, "wrapper")
    wrapper.install()
    assert list(wrappers_of(model.make_train_function())) == [wrapper]  # Keras keeps its function
    model.make_train_function(force=True)
    assert list(wrappers_of(model.train_function)) == []
    wrapper.install()
    assert list(wrappers_of(model.train_function)) == [wrapper]
