"""Call sites of constructed objects, and risks of input pipelines: scripts in diagnosing processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Child

from keras_repro.storage.run_folder import TRACE_NAME
from keras_repro.storage.trace_file import (
    BatchEvent,
    CallEvent,
    CheckedEvent,
    ConstructionEvent,
    ContextEvent,
    StepBeginEvent,
    StepEndEvent,
    VariableEvent,
    read_trace,
)

SCRIPT = """
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf
from helpers import make_layer
from small import X, Y, build

data = tf.data.Dataset.from_tensor_slices((X, Y))
data = data.shuffle(96)  # shuffled
data = data.map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y))  # drawn
together = data.map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y), 4)  # drawn together
def pooled(x, y):
    return tf.nn.fractional_max_pool(tf.reshape(x, [1, 2, 3, 1]), [1.0, 1.0, 1.5, 1.0])[0], y
by_kernel = data.map(pooled)  # by kernel
def on_host(x, y):
    return tf.numpy_function(lambda v: v, [x], tf.float32), y
serial = data.map(on_host)  # serial
parallel = data.map(on_host, num_parallel_calls=2)  # parallel
parallel = data.map(on_host, 2)  # by position
unordered = data.map(lambda x, y: (x, y), num_parallel_calls=2, deterministic=False)  # unordered
options = tf.data.Options()
options.deterministic = False
optional = data.with_options(options)  # optional
made = tf.data.Dataset.from_generator(lambda: iter([1]), output_signature=tf.TensorSpec((), tf.int64))  # made
numbers = tf.data.Dataset.random(seed=3)  # numbers
mixed = tf.data.Dataset.sample_from_datasets([made, made])  # mixed
plain = data.map(lambda x, y: (x * 2.0, y)).batch(8).prefetch(1)  # plain
seeded = data.shuffle(96, seed=1)  # seeded
class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return X[:8], Y[:8]
rows = Rows(workers=2)  # two workers
alone = Rows()  # one worker
alone.workers = 3  # set later
with ThreadPoolExecutor(2) as pool:
    list(pool.map(abs, [1, 2]))  # pool
waiting = queue.Queue()
thread = threading.Thread(target=waiting.put, args=(1,))  # library target
def work():
    pass
worker = threading.Thread(target=work)  # own target
thread.start()
worker.start()
worker.join()
class Block(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.inner = keras.layers.Dense(3)  # inner
    def call(self, x):
        return self.inner(x)
scale = keras.layers.Normalization()
scale.adapt(X)  # adapted
model = keras.Sequential([
    keras.Input((6,)),
    Block(),  # block
    make_layer(),  # by a helper
    keras.layers.Dense(1),  # listed
    keras.layers.Dense(1, kernel_initializer=keras.initializers.HeNormal(seed=1)),  # with a seed
])
optimizer = keras.optimizers.Adam(0.01)  # optimizer
model.compile(optimizer, "mse")
model.fit(X, Y, batch_size=48, epochs=1, verbose=0)  # fit
"""


HELPERS = """
import keras
def make_layer():
    return keras.layers.Dense(4)
"""


@pytest.fixture
def recorded(
    written: Callable[..., str], here: Path, launched: Callable[..., Child]
) -> Callable[..., list[CheckedEvent | ContextEvent]]:
    """Run a script in a diagnosing process; return the events."""

    def run(text: str, **probe: Any) -> list[CheckedEvent | ContextEvent]:
        (here / "helpers.py").write_text(HELPERS)
        child = launched(written(text), probe=probe)
        assert child.outcome.code == 0, child.output
        intervals = list(read_trace(child.folder / TRACE_NAME))
        return [e for i in intervals for e in (*i.context, *([i.checked] if i.checked else []))]

    return run


def _comment(event: CallEvent | ConstructionEvent | VariableEvent) -> str:
    return "" if event.source is None else event.source.code.rpartition("# ")[2]


def test_pipelines_and_threads_are_reported_with_their_risks(
    recorded: Callable[..., list[CheckedEvent | ContextEvent]],
) -> None:
    events = recorded(SCRIPT)
    risks: dict[tuple[str, str], list[str]] = {}
    for event in events:
        if isinstance(event, ConstructionEvent):
            risks.setdefault((_comment(event), event.what), list(event.risks))
    no_seed = ["no seed"]
    assert risks["shuffled", "shuffle"] == []
    assert risks["shuffled", "random operation"] == no_seed
    assert risks["drawn", "map"] == ["a stateful random operation (RandomStandardNormal) without a seed"]
    assert risks["drawn", "random operation"] == no_seed
    drawn_together = ["a stateful random operation (RandomStandardNormal) without a seed, in parallel"]
    assert risks["drawn together", "map"] == drawn_together
    assert risks["by kernel", "map"] == ["a stateful random operation (FractionalMaxPool) without a seed"]
    assert risks["serial", "map"] == ["Python code"]
    assert risks["parallel", "map"] == ["Python code, in parallel"]
    assert risks["by position", "map"] == ["Python code, in parallel"]
    assert risks["unordered", "map"] == ["an order that is not deterministic"]
    assert risks["optional", "with_options"] == ["an order that is not deterministic"]
    assert risks["made", "from_generator"] == ["a Python generator"]
    assert risks["numbers", "random"] == ["random numbers"]
    assert risks["mixed", "random operation"] == no_seed
    assert risks["plain", "map"] == []
    assert risks["seeded", "shuffle"] == []
    assert ("seeded", "random operation") not in risks
    assert risks["two workers", "PyDataset"] == ["2 workers"]
    assert risks["one worker", "PyDataset"] == []
    assert risks["set later", "PyDataset"] == ["3 workers"]
    assert risks["adapted", "adapt Normalization"] == []
    assert risks["pool", "thread"] == ["a thread"]
    assert risks["own target", "thread"] == ["a thread"]
    assert ("library target", "thread") not in risks

    variables = [e for e in events if isinstance(e, VariableEvent)]
    lines = [(_comment(v), v.layer) for v in variables if v.layer]
    assert any("kernel" in v.name for v in variables)
    # Keras creates the inner layer's variables with the outer layer, outside any frame of the inner layer.
    assert ("block", "Block") in lines
    assert ("listed", "Dense") in lines
    assert ("return keras.layers.Dense(4)", "Dense") in lines
    unseeded = {(_comment(v), v.name.rpartition("/")[2]) for v in variables if v.is_unseeded}
    assert {("listed", "kernel:0"), ("block", "kernel:0")} <= unseeded
    assert not any(where == "with a seed" or name.startswith("bias") for where, name in unseeded)
    calls = {_comment(e) for e in events if isinstance(e, CallEvent)}
    assert calls == {"fit"}
    steps = [type(e) for e in events if isinstance(e, StepBeginEvent | BatchEvent | StepEndEvent)]
    assert steps == [StepBeginEvent, BatchEvent, StepEndEvent] * 2


def test_probes_do_not_change_a_script(
    written: Callable[..., str], launched: Callable[..., Child], here: Path
) -> None:
    text = """
import keras
import numpy as np
import tensorflow as tf
from small import X, Y, build
keras.utils.set_random_seed(3)
data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(96).batch(16)
data = data.map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y))
made = tf.data.Dataset.from_generator(lambda: iter([X[:8]]), output_signature=tf.TensorSpec((8, 6)))
class Own(tf.data.Dataset):
    pass
print(tf.data.Dataset.range(3).map(lambda n: n + 1).reduce(np.int64(0), lambda a, b: a + b).numpy())
model = build(dropout=0.2)
model.fit(data, epochs=2, verbose=0)
x = np.random.permutation(96)
model.train_on_batch(X[x], Y[x])
"""
    script = written(text)
    bare = launched(script)
    assert bare.outcome.code == 0, bare.output
    bare.folder.rename(here / "bare")
    probed = launched(script, probe={})
    assert probed.outcome.code == 0, probed.output
    fingerprints = [
        json.loads((here / f / "ledger.jsonl").read_text().splitlines()[-1]) for f in ("bare", "run")
    ]
    assert fingerprints[0]["link"] == fingerprints[1]["link"]
    assert bare.output == probed.output
