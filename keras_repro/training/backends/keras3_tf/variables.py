"""Variables and lookup tables of Keras 3 on TensorFlow: kinds, values and zero-copy reads.

Private names checked with Keras 3.10 to 3.15 (`KerasSaveable`, `Functional`, `Sequential`, `Node`, `_value`,
those in `KERAS_LISTS`) and TensorFlow 2.16 to 2.21 (`TFE_Py_Execute`, `context.context()._handle`,
`ResourceVariable`, `_trackable_children`; of a table `_value_shape`, `_empty_key`, `_deleted_key`). Nothing
here draws from a generator, starts the runtime, or makes a variable.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any


def is_keras_variable(value: Any) -> bool:
    """Return whether a value is a `keras.Variable`."""
    from keras.src.backend import Variable

    return isinstance(value, Variable)


def is_saveable(value: Any) -> bool:
    """Return whether a value is a layer, model, optimizer, metric or loss."""
    from keras.src.saving.keras_saveable import KerasSaveable

    return isinstance(value, KerasSaveable)


def has_settings(value: Any) -> bool:
    """Return whether a value is a part of a model or an optimizer with settings of its own."""
    import keras

    return isinstance(
        value,
        keras.Regularizer
        | keras.Initializer
        | keras.constraints.Constraint
        | keras.optimizers.schedules.LearningRateSchedule,
    )


def own_attributes(kind: type, *, of_users: bool) -> Callable[[str], bool]:
    """Return a function that tells whether an attribute of a class's objects may be set by a program.

    That is a public one, or one of the user's class. Keras sets the others itself.

    Args:
        kind: the class.
        of_users: whether it is the user's class.
    """
    names = _names_of_keras(kind)
    if of_users:
        return lambda name: name not in names and not name.startswith("_self_")
    return lambda name: not name.startswith("_") and name not in names


@functools.lru_cache(maxsize=1024)
def _names_of_keras(kind: type) -> frozenset[str]:
    """Return the attributes that Keras changes, and the private ones that its bases of a class know."""
    bases = [base for base in kind.__mro__ if base.__module__.partition(".")[0] == "keras"]
    members = [member for base in bases for member in vars(base).values()]
    functions = [f for m in members for f in (getattr(m, "fset", None), getattr(m, "__wrapped__", m))]
    codes = [f.__code__ for f in functions if f is not None and hasattr(f, "__code__")]
    known = {name for base in bases for name in vars(base)} | {n for code in codes for n in _stored(code)}
    changed = [names for base, names in _SET_BY_KERAS.items() if base in {b.__name__ for b in bases}]
    return frozenset().union(*changed, {name for name in known if name.startswith("_")})


def _stored(code: CodeType) -> Iterator[str]:
    """Yield the attributes that code assigns to, and the functions within it."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_ATTR":
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _stored(constant)


def is_graph_of_layers(value: Any) -> bool:
    """Return whether a value is a Sequential or Functional model, whose `layers` are its structure."""
    from keras.src.models.functional import Functional
    from keras.src.models.sequential import Sequential

    return isinstance(value, Functional | Sequential)


def is_graph_node(value: Any) -> bool:
    """Return whether a value is a node of the graph of layers: it leads to the layers around it."""
    from keras.src.ops.node import Node

    return isinstance(value, Node)


def raw_variable(variable: Any) -> Any:
    """Return the `tf.Variable` of a Keras or TensorFlow variable, None while it has no value."""
    if is_keras_variable(variable):
        return variable._value
    return variable


def reader(variables: Sequence[Any]) -> Callable[[], list[Any]]:
    """Return a function that reads the values of the same `tf.Variable`s again and again.

    Plain variables of the CPU are read in one call into the runtime: a call takes ten times as long as what
    it does. What stays the same between two reads is looked up here, once.

    Returns:
        A function that returns eager tensors, which share the variables' memory if possible.
    """
    import tensorflow as tf
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import context

    variables = list(variables)  # the handles live as long as the variables
    handles = [v.handle for v in variables] if all(map(is_plain, variables)) else []
    # The device of a variable made by a traced step is empty; that of its handle is not.
    if not handles or not all("CPU" in handle.device for handle in handles):
        return lambda: [_read(v) for v in variables]
    count = len(handles)
    attributes = ("N", count, "dtypes", [v.dtype.as_datatype_enum for v in variables])
    call = pywrap_tfe.TFE_Py_Execute  # every eager operation ends in it

    def read() -> list[Any]:
        runtime = context.context()._handle
        try:
            return list(call(runtime, None, "_ReadVariablesOp", handles, attributes, count))
        except tf.errors.FailedPreconditionError:
            # The runtime was reset and has forgotten their names; each handle still has its value.
            return [_read(v) for v in variables]

    return read


def read_all(variables: Sequence[Any]) -> list[Any]:
    """Read the values of `tf.Variable`s once, as `reader` does."""
    return reader(variables)()


def _read(variable: Any) -> Any:
    import tensorflow as tf

    if is_plain(variable):
        return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
    return tf.convert_to_tensor(variable.read_value())


_plain_kinds: dict[type, bool] = {}


def is_plain(variable: Any) -> bool:
    """Return whether it is one variable, not mirrored or cached: others have no handle outside of a replica.

    TensorFlow's own check is slow.
    """
    kind = type(variable)
    if kind not in _plain_kinds:
        from tensorflow.python.ops.resource_variable_ops import ResourceVariable

        _plain_kinds[kind] = isinstance(variable, ResourceVariable)
    return _plain_kinds[kind]


def variables_of(model: Any) -> list[Any]:
    """Return the variables that Keras lists for a model and that have a value."""
    from keras import Layer

    try:
        # Keras's own property: that of the model's class may not work yet.
        return [v for v in Layer.variables.fget(model) if raw_variable(v) is not None]
    except AttributeError:
        return []


def trained_variables(optimizer: Any) -> list[Any]:
    """Return the variables that an optimizer was built for, in the order of its slots."""
    return list(getattr(optimizer, "_trainable_variables", ()))


def seed_generators(layer: Any) -> list[Any]:
    """Return the seed generators that a layer holds itself."""
    return list(getattr(layer, "_seed_generators", ()))


def tracked_objects(model: Any) -> list[Any]:
    """Return all that TensorFlow tracks below a model, also what Keras does not list."""
    from tensorflow import train

    return list(train.TrackableView(model).descendants()) if hasattr(model, "_trackable_children") else []


def is_table(value: Any) -> bool:
    """Return whether a value is a lookup table, mutable or not."""
    return hasattr(type(value), "resource_handle") and hasattr(type(value), "lookup")


def is_mutable_table(value: Any) -> bool:
    """Return whether a value is a lookup table that may change."""
    return is_table(value) and hasattr(value, "insert")


def content_of_table(table: Any) -> tuple[Any, Any]:
    """Return the keys and the values of a mutable table, in the order of the keys."""
    import numpy as np

    keys, values = (t.numpy() for t in table.export())
    keys, values = keys.reshape(-1), values.reshape(-1, *table._value_shape)
    if hasattr(table, "_empty_key"):  # a dense table exports its empty places too
        kept = ~np.isin(keys, [np.asarray(k).item() for k in (table._empty_key, table._deleted_key)])
        keys, values = keys[kept], values[kept]
    order = np.argsort(keys)
    keys, values = (v.tolist() if v.dtype == object else v for v in (keys[order], values[order]))
    return keys, values


def set_content_of_table(table: Any, content: tuple[Any, Any]) -> None:
    """Replace the content of a mutable table by a result of `content_of_table`."""
    import tensorflow as tf

    table.remove(tf.constant(content_of_table(table)[0], table.key_dtype))
    keys, values = content
    if len(keys):
        table.insert(tf.constant(keys, table.key_dtype), tf.constant(values, table.value_dtype))


# Lists in which Keras holds what the attributes of an object hold too.
KERAS_LISTS = (
    "_layers",
    "_metrics",
    "_seed_generators",
    "_trainable_variables",
    "_non_trainable_variables",
    "_variables",
)

# Attributes that Keras changes during a fit, by the class that has them.
_SET_BY_KERAS = {
    "Callback": {"params"},
    "KerasSaveable": {"built"},
    "Trainer": {
        "compiled",
        "history",
        "optimizer",
        "predict_function",
        "stop_evaluating",
        "stop_training",
        "test_function",
        "train_function",
    },
}
