"""Keras's data adapters: what `fit` accepts, and adapters with batches in our order.

Private names checked with Keras 3.15 (`data_adapters` and `_num_samples`, `_inputs`, `_size`,
`_output_signature`, `_standardize_batch` of its classes) and TensorFlow 2.21 (`_iterator_resource`,
`_flat_output_types` and `_flat_output_shapes` of an iterator).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


def is_array_like(*data: Any) -> bool:
    """Return whether Keras treats `x`, `y`, ... as arrays (also nested, pandas, sparse), not as a stream."""
    from keras.src.trainers.data_adapters import array_data_adapter

    return bool(array_data_adapter.can_convert_arrays(data))


def split_off_validation(arrays: Any, share: float) -> tuple[Any, Any]:
    """Split the last share off some arrays, as `fit(validation_split=...)` does."""
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
    """Return a Keras data adapter of arrays, with batches in our order. It may be passed to `fit` as `x`.

    Keras converts and checks the arrays as for `fit`.

    Args:
        x: as for `fit`.
        y: as for `fit`.
        sample_weight: as for `fit`.
        class_weight: as for `fit`.
        batch_size: number of samples in a batch.
        make_dataset: called with the arrays, the number of samples and a function that takes rows of the
            arrays; returns a `tf.data.Dataset` of batches.

    Returns:
        The adapter. Its attribute `samples` is the number of samples. Set `one_pass` if each dataset is one
        pass, whose number of batches is then known.
    """
    from keras.src import tree
    from keras.src.trainers.data_adapters import array_slicing
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

    class OrderedAdapter(ArrayDataAdapter):
        one_pass = False

        @property
        def samples(self) -> int:
            return int(self._num_samples)

        @property
        def num_batches(self) -> int | None:
            # Unknown: with `steps_per_epoch`, Keras then keeps one iterator for all epochs.
            return int(self._size) if self.one_pass else None

        def get_tf_dataset(self) -> Any:
            arrays = array_slicing.convert_to_sliceable(self._inputs, target_backend="tensorflow")
            return make_dataset(tree.lists_to_tuples(arrays), self.samples, take)

    def take(data: Any, rows: Any) -> Any:
        import tensorflow as tf

        def take_rows(array: Any) -> Any:
            if isinstance(array, array_slicing.TensorflowSparseWrapper):
                return array_slicing.slice_tensorflow_sparse_wrapper(array, rows)
            if isinstance(array, list | tuple | dict):
                return None
            return tf.gather(array, rows, axis=0) if tf.is_tensor(array) else array

        return tree.traverse(take_rows, data)

    return OrderedAdapter(x, y, sample_weight=sample_weight, class_weight=class_weight, batch_size=batch_size)


def py_dataset_adapter(dataset: Any, *, like: Any, class_weight: Any, batches: int | None) -> Any:
    """Return a Keras data adapter of a `PyDataset`. It may be passed to `fit` as `x`.

    Args:
        dataset: the dataset, in the order of its batches. Its `begin_epoch` is called before the workers
            start, which Keras does before it calls `on_epoch_begin`.
        like: the dataset whose first batches define the element spec, also if `dataset` begins later.
        class_weight: as for `fit`.
        batches: number of batches in an epoch; None with `steps_per_epoch`.
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
                batches_of_spec = [self._standardize_batch(like[i]) for i in range(count)]
                if not batches_of_spec:
                    raise ValueError("The PyDataset has length 0")
                self._output_signature = data_adapter_utils.get_tensor_spec(batches_of_spec)
            return super().get_tf_dataset()

    return Adapter(dataset, class_weight=class_weight, shuffle=False)


def flat_batches(iterator: Any, *, dense: bool) -> Iterator[list[Any]]:
    """Yield the elements of a `tf.data` iterator, flattened; each is read when it is asked for.

    Args:
        iterator: the iterator.
        dense: whether its elements contain plain tensors only, which are read in less than half of the time.
    """
    import tensorflow as tf

    resource = getattr(iterator, "_iterator_resource", None)
    if resource is None or not dense or not tf.config.experimental.get_synchronous_execution():
        for element in iterator:
            yield list(tf.nest.flatten(element, expand_composites=True))
        return
    with contextlib.suppress(tf.errors.OutOfRangeError):
        while True:
            parts = tf.raw_ops.IteratorGetNext(
                iterator=resource,
                output_types=iterator._flat_output_types,
                output_shapes=iterator._flat_output_shapes,
            )
            yield list(parts)
