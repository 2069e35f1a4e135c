"""Wrappers that are called in place of one of a model's functions, such as `model.train_function`.

    class Counter(TrainFunctionWrapper):
        def __call__(self, iterator):
            self.calls += 1
            return self.function(iterator)

    counter = Counter(model)
    counter.install()
    counter.uninstall()

Several wrappers form a chain. The model's attribute is the outermost wrapper, `wrapper.function` is the next
one, and the innermost `function` is the one that Keras has made. Wrappers may be installed and uninstalled in
any order. Keras drops the chain when it makes the function anew: install the wrapper again if it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class TrainFunctionWrapper:
    """A function of a model, wrapped. Subclasses override `__call__`.

    Args:
        model: the model.
        attribute: name of the model's function: `"train_function"` or `"test_function"`.

    Attributes:
        function: what the wrapper calls, None before the first `install`.
    """

    def __init__(self, model: Any, attribute: str = "train_function") -> None:
        self.function: Any = None
        self._model, self._attribute = model, attribute

    def __call__(self, *arguments: Any) -> Any:
        """Call the wrapped function."""
        return self.function(*arguments)

    def install(self) -> None:
        """Wrap the model's function, unless the chain already contains this wrapper."""
        outermost = getattr(self._model, self._attribute)
        if self not in wrappers_of(outermost):
            self.function = outermost
            setattr(self._model, self._attribute, self)

    def uninstall(self) -> None:
        """Leave the chain, from any position. `function` is kept."""
        outermost = getattr(self._model, self._attribute, None)
        if outermost is self:
            setattr(self._model, self._attribute, self.function)
        for wrapper in wrappers_of(outermost):
            if wrapper.function is self:
                wrapper.function = self.function


def wrappers_of(function: Any) -> Iterator[Any]:
    """Return the wrappers of a model's function, the outermost first.

    A wrapper of another package is one too if its attribute `function` is what it calls.
    """
    while hasattr(function, "function"):
        yield function
        function = function.function


def unwrapped(function: Any) -> Any:
    """Return the function that Keras has made, from any wrapper of it."""
    while hasattr(function, "function"):
        function = function.function
    return function
