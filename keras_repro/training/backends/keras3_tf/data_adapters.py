"""Data adapters of Keras 3, with batches in our order.

Private names checked with Keras 3.15 and TensorFlow 2.21.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
