"""State of Keras's own callbacks that they hold in private attributes.

Private names checked with Keras 3.15: `_writers` and `_log_write_dir` of
`TensorBoard`, and the names in the constants below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

MODEL_CHECKPOINT = ("_batches_seen_since_last_saving", "_last_batch_seen", "_current_epoch")
SWAP_EMA_WEIGHTS = ("_ema_weights_in_model",)
TENSORBOARD = ("_global_train_batch", "_global_test_batch", "_should_write_train_graph")

NO_STATE = ("params", "_model")
"""Attributes that Keras gives every callback, and that are not the callback's state."""


def tensorboard_folder(callback: Any) -> Path:
    """Return the folder into which a `TensorBoard` callback writes."""
    return Path(callback._log_write_dir)


def flush_tensorboard(callback: Any) -> None:
    """Write out all events of a `TensorBoard` callback."""
    for writer in callback._writers.values():
        writer.flush()


def close_tensorboard(callback: Any) -> None:
    """Close the event files; the next event of each writer goes into a new file."""
    for writer in callback._writers.values():
        writer.close()
    callback._writers = {}
