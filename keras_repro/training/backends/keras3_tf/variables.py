"""Which Keras this is: the one seam to names that Keras and TensorFlow do not promise to keep.

Everything here works on Keras 3 with its TensorFlow backend. Nothing here draws from a generator, starts
TensorFlow's runtime, or makes a variable.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM as STATEFUL_RANDOM

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


def is_keras_variable(value: Any) -> bool:
    """Whether it is a `keras.Variable`."""
    from keras.src.backend import Variable

    return isinstance(value, Variable)


def is_saveable(value: Any) -> bool:
    """Whether it is a layer, model, optimizer, metric or loss."""
    from keras.src.saving.keras_saveable import KerasSaveable

    return isinstance(value, KerasSaveable)


def is_graph_of_layers(value: Any) -> bool:
    """Whether it is a Sequential or Functional model, whose `layers` are its structure."""
    from keras.src.models.functional import Functional
    from keras.src.models.sequential import Sequential

    return isinstance(value, Functional | Sequential)


def inner_model(model: Any) -> Any:
    """The Functional model that a Sequential one makes for itself, None for others."""
    return getattr(model, "_functional", None)


def raw_variable(variable: Any) -> Any:
    """The `tf.Variable` behind a Keras or TensorFlow variable, None while it has no value."""
    if is_keras_variable(variable):
        return variable._value
    return variable


def reader(variables: Sequence[Any]) -> Callable[[], list[Any]]:
    """What reads the values of the same `tf.Variable`s again and again.

    One call into the runtime where all are plain variables of one CPU: each call costs ten times what it
    does. What does not change from reading to reading is looked up here, once.

    Returns:
        A function that gives eager tensors, which share the variables' memory where that can be.
    """
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import context

    held = list(variables)  # the handles live as long as they do
    handles = [v.handle for v in held] if all(map(_is_plain, held)) else []
    # A variable's own device is empty where a traced step has made it; its handle knows.
    if not handles or not all("CPU" in handle.device for handle in handles):
        return lambda: [_read(v) for v in held]
    count = len(handles)
    attributes = ("N", count, "dtypes", [v.dtype.as_datatype_enum for v in held])
    call = pywrap_tfe.TFE_Py_Execute  # what each eager operation comes down to

    def read() -> list[Any]:
        runtime = context.context()._handle
        return list(call(runtime, None, "_ReadVariablesOp", handles, attributes, count))

    return read


def read_all(variables: Sequence[Any]) -> list[Any]:
    """The values of `tf.Variable`s, read once as by `reader`."""
    return reader(variables)()


def _read(variable: Any) -> Any:
    import tensorflow as tf

    if _is_plain(variable):
        return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
    return tf.convert_to_tensor(variable.read_value())


_plain_kinds: dict[type, bool] = {}


def _is_plain(variable: Any) -> bool:
    """Whether it is one variable, not one that is mirrored or cached. TensorFlow's own check is slow."""
    kind = type(variable)
    if kind not in _plain_kinds:
        from tensorflow.python.ops.resource_variable_ops import ResourceVariable

        _plain_kinds[kind] = isinstance(variable, ResourceVariable)
    return _plain_kinds[kind]


def global_seed_generator() -> Any:
    """Keras's global seed generator if something has made it, else None. Makes none."""
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute("global_seed_generator")


def global_tensorflow_generator() -> Any:
    """TensorFlow's global generator if something has made it, else None. Makes none."""
    module = sys.modules.get("tensorflow.python.ops.stateful_random_ops")
    return getattr(module, "global_generator", None)


def eager_operation_seeds() -> Any:
    """The `random.Random` from which TensorFlow takes seeds of eager operations; None where there is none."""
    context = sys.modules.get("tensorflow.python.eager.context")
    return getattr(context.context(), "_rng", None) if context is not None else None


def seeds_set() -> dict[str, int | None]:
    """The seeds that were set with Keras and with TensorFlow, as both remember them."""
    from keras.src.utils import rng_utils

    keras_seed = rng_utils.get_random_seed()
    context = sys.modules.get("tensorflow.python.eager.context")
    tensorflow_seed = context.global_seed() if context is not None else None
    return {"keras": keras_seed, "tensorflow": tensorflow_seed}


def versions() -> dict[str, str]:
    """Versions of the frameworks that are loaded."""
    loaded = {"tensorflow": sys.modules.get("tensorflow"), "keras": sys.modules.get("keras")}
    return {name: str(getattr(m, "__version__", "")) for name, m in loaded.items() if m is not None}


def is_array_like(*data: Any) -> bool:
    """Whether Keras would treat `x`, `y`, ... as arrays (also nested, pandas, sparse), not as a stream."""
    from keras.src.trainers.data_adapters import array_data_adapter

    return bool(array_data_adapter.can_convert_arrays(data))


def split_off_validation(arrays: Any, share: float) -> tuple[Any, Any]:
    """Splits the last share off some arrays, exactly as `fit(validation_split=...)` does."""
    from keras.src.trainers.data_adapters import array_slicing

    return array_slicing.train_validation_split(arrays, validation_split=share)


def ordered_adapter(
    x: Any,
    y: Any,
    *,
    sample_weight: Any,
    class_weight: Any,
    batch_size: int,
    make_dataset: Callable[[Any, int, Callable[[Any, Any], Any]], Any],
) -> Any:
    """Arrays as a Keras data adapter that takes its batches from our dataset.

    Keras converts and checks the arrays, as for `fit`; only their order is not Keras's. An adapter may be
    given to `fit` in place of `x`.

    Args:
        make_dataset: is given the arrays, the number of samples and a function that takes rows of the
            arrays; returns a `tf.data.Dataset` of batches.

    Returns:
        The adapter; its attribute `samples` is the number of samples.
    """
    from keras.src import tree
    from keras.src.trainers.data_adapters import array_slicing
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

    class OrderedAdapter(ArrayDataAdapter):
        @property
        def samples(self) -> int:
            return int(self._num_samples)

        @property
        def num_batches(self) -> int | None:
            # Unknown to Keras, so that it goes on with one iterator where it is told the steps.
            return None

        def get_tf_dataset(self) -> Any:
            arrays = array_slicing.convert_to_sliceable(self._inputs, target_backend="tensorflow")
            return make_dataset(tree.lists_to_tuples(arrays), self.samples, take)

        def of_known_length(self) -> Any:
            """The same adapter for one pass at a time, of which Keras knows the number of batches."""
            self.__class__ = PassAdapter
            return self

    class PassAdapter(OrderedAdapter):
        @property
        def num_batches(self) -> int:
            return int(self._size)

    def take(data: Any, rows: Any) -> Any:
        import tensorflow as tf

        def one(array: Any) -> Any:
            if isinstance(array, array_slicing.TensorflowSparseWrapper):
                return array_slicing.slice_tensorflow_sparse_wrapper(array, rows)
            if isinstance(array, list | tuple | dict):
                return None
            return tf.gather(array, rows, axis=0) if tf.is_tensor(array) else array

        return tree.traverse(one, data)

    return OrderedAdapter(x, y, sample_weight=sample_weight, class_weight=class_weight, batch_size=batch_size)


def py_dataset_adapter(dataset: Any, *, like: Any, class_weight: Any, batches: int | None) -> Any:
    """A `PyDataset` as a Keras data adapter, which may be given to `fit` in place of `x`.

    Args:
        dataset: the dataset to take the batches from, in their order; its `begin_epoch` is called before the
            workers begin, which Keras lets begin before it calls `on_epoch_begin`.
        like: the one whose first batches say what a batch is; the same wherever `dataset` begins.
        class_weight: as for `fit`.
        batches: how many batches Keras is to count with in an epoch; None where it is told the steps.
    """
    from keras.src.trainers.data_adapters import data_adapter_utils
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    class Adapter(PyDatasetAdapter):
        _output_signature: Any

        @property
        def num_batches(self) -> int | None:
            return batches

        def on_epoch_begin(self) -> None:
            dataset.begin_epoch()
            super().on_epoch_begin()

        def get_tf_dataset(self) -> Any:
            if self._output_signature is None:
                count = data_adapter_utils.NUM_BATCHES_FOR_TENSOR_SPEC
                count = count if like.num_batches is None else min(count, like.num_batches)
                seen = [self._standardize_batch(like[i]) for i in range(count)]
                if not seen:
                    raise ValueError("The PyDataset has length 0")
                self._output_signature = data_adapter_utils.get_tensor_spec(seen)
            return super().get_tf_dataset()

    return Adapter(dataset, class_weight=class_weight, shuffle=False)


def is_of_unknown_length(dataset: Any) -> bool:
    """Whether a `tf.data.Dataset` cannot say how many elements it has; an endless one can."""
    import tensorflow as tf

    return int(dataset.cardinality()) == tf.data.UNKNOWN_CARDINALITY


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


def next_parts(iterator: Any, *, dense: bool) -> list[Any]:
    """What `next` gives of a `tf.data` iterator, flattened.

    Args:
        iterator: the iterator.
        dense: whether its elements hold plain tensors only, which are had in less than half of the time.

    Raises:
        StopIteration: it has come to its end.
    """
    import tensorflow as tf

    resource = getattr(iterator, "_iterator_resource", None)
    if resource is None or not dense or not tf.config.experimental.get_synchronous_execution():
        return list(tf.nest.flatten(next(iterator), expand_composites=True))
    try:
        return list(
            tf.raw_ops.IteratorGetNext(
                iterator=resource,
                output_types=iterator._flat_output_types,
                output_shapes=iterator._flat_output_shapes,
            )
        )
    except tf.errors.OutOfRangeError:
        raise StopIteration from None


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


def variables_of(model: Any) -> list[Any]:
    """The variables that Keras lists for a model, as far as they are made."""
    from keras import Layer

    try:
        # Keras's own property: a model's class may have one of its own, that cannot be asked yet.
        return [v for v in Layer.variables.fget(model) if raw_variable(v) is not None]
    except AttributeError:
        return []


def stateful_random_operations(model: Any) -> list[str]:
    """Types of the stateful `tf.random` operations in the model's traced training step.

    They keep a counter that is neither saved nor seen (docs/limits.md).
    """
    found: set[str] = set()
    for graph in _traced_graphs(getattr(model, "train_function", None)):
        found.update(operation_types(graph) & STATEFUL_RANDOM)
    return sorted(found)


# Types of the operations that call Python from inside a graph.
ON_HOST = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})

CLOCK = frozenset({"Timestamp"})


def operation_types(graph: Any) -> set[str]:
    """Types of the operations in a graph and in the functions of its library."""
    definition = graph.as_graph_def(add_shapes=False)
    found = {str(node.op) for node in definition.node}
    for function in definition.library.function:
        found.update(str(node.op) for node in function.node_def)
    return found


def _traced_graphs(train_function: Any) -> Iterator[Any]:
    # Others put something before the function that Keras has made.
    while hasattr(train_function, "function"):
        train_function = train_function.function
    for cell in getattr(train_function, "__closure__", None) or ():
        function = cell.cell_contents
        listed = getattr(function, "_list_all_concrete_functions", None)
        for concrete in listed() if listed is not None else ():
            yield concrete.graph
