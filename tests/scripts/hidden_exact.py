"""A training whose eager loss keeps state in every kind of place that a snapshot restores: [MOMENT].

Each place returns its next value, which is written to `values.txt`. The process is killed at MOMENT once.
"""

import argparse
import array
import contextvars
import functools
import os
import random
import signal
import sys
import threading
import weakref
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from dataclasses import dataclass, field
from types import SimpleNamespace

import hidden_settings as imported_before_the_training  # noqa: F401
import keras
import numpy as np
import tensorflow as tf

import keras_repro as kr

MOMENT = sys.argv[1] if len(sys.argv) > 1 else "never"
X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
PLACES = []


def place(function):
    PLACES.append(function)
    return function


counter = 0


@place
def global_number():
    global counter
    counter += 1
    return counter


def make_closures():
    count, seen = 0, []

    def closure():
        nonlocal count
        count += 1
        return count

    def list_in_a_closure():
        seen.append(1.5)
        return sum(seen)

    return closure, list_in_a_closure


PLACES += make_closures()


@place
def default_argument(seen=[]):  # noqa: B006
    seen.append(1)
    return len(seen)


@place
def default_keyword(*, seen={"calls": 0}):  # noqa: B006
    seen["calls"] += 1
    return seen["calls"]


@place
def attribute_of_a_function():
    attribute_of_a_function.calls = getattr(attribute_of_a_function, "calls", 0) + 1
    return attribute_of_a_function.calls


class Meta(type):
    total = 0


class Shared(metaclass=Meta):
    calls = 0


@place
def attribute_of_a_class():
    Shared.calls += 1
    return Shared.calls


@place
def attribute_of_a_metaclass():
    Meta.total += 2
    return Meta.total


class Descriptor:
    """Count the reads of an attribute."""

    def __init__(self):
        self.reads = 0

    def __get__(self, owner, kind):
        self.reads += 1
        return self.reads


class Lazy:
    counted = Descriptor()

    @property
    def cached(self):
        self._cache = getattr(self, "_cache", 1.0) * 1.25
        return self._cache

    @functools.cached_property
    def drawn(self):
        return generators["of a property"].uniform()


lazy = Lazy()


@place
def attribute_of_a_descriptor():
    return lazy.counted


@place
def cache_of_a_property():
    return lazy.cached


@place
def function_of_a_cached_property():
    drawn = lazy.drawn
    del lazy.drawn  # the next access computes it again
    return drawn


generators = {
    "numpy": np.random.default_rng(1),
    "old": np.random.RandomState(1),
    "python": random.Random(1),
    "of a property": np.random.default_rng(4),
}


@place
def generators_in_a_dict():
    return generators["numpy"].uniform() + generators["old"].uniform() + generators["python"].random()


def add_to(seen, step, total):
    seen.append(step)
    total["sum"] += step
    return len(seen) + total["sum"]


PLACES.append(functools.partial(add_to, [], 2, total={"sum": 0}))


def counted(function):
    calls = 0

    @functools.wraps(function)
    def wrapper():
        nonlocal calls
        calls += 1
        return calls * function()

    return wrapper


@place
@counted
def closure_of_a_decorator():
    return 1.5


# The same code twice, each with a default of its own.
PLACES += [lambda draw=draw: draw.random() for draw in (random.Random(1), random.Random(2))]


@functools.cache
def offset_of(call):
    cached_calls.append(call)
    return len(cached_calls)


cached_calls = []


@place
def function_with_a_cache():
    return offset_of(counter) + 0.5


@dataclass
class Fields:
    rate: float = 1.0
    history: list = field(default_factory=list)
    params: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Frozen:
    seen: list = field(default_factory=list)


class Slots:
    __slots__ = ("first", "second")


fields, frozen, slots = Fields(), Frozen(), Slots()


@place
def fields_of_a_dataclass():
    fields.rate *= 1.125
    fields.history.append(fields.rate)
    fields.params["steps"] = fields.params.get("steps", 0) + 1
    return sum(fields.history) + fields.params["steps"]


@place
def list_in_a_frozen_dataclass():
    frozen.seen.append(0.5)
    return sum(frozen.seen)


@place
def slots_filled_late():
    slots.first = getattr(slots, "first", 0) + 1
    return slots.first


recent, letters, byte_key, ordered = deque(maxlen=3), Counter(), defaultdict(int), OrderedDict()
buffer, numbers, dictionary = bytearray(2), array.array("d", [1.0]), UserDict()


@place
def containers():
    recent.append(len(recent) + 1)
    letters["a"] += 2
    byte_key[b"b"] += 3
    ordered[len(ordered)] = 1
    return sum(recent) + letters["a"] + byte_key[b"b"] + len(ordered)


@place
def buffers():
    buffer[0] += 3
    numbers.append(numbers[-1] * 1.5)
    dictionary["calls"] = dictionary.get("calls", 0) + 1
    return buffer[0] + sum(numbers) + dictionary["calls"]


namespace, arguments = SimpleNamespace(), argparse.Namespace(rate=1.0)


@place
def attributes_of_namespaces():
    namespace._made = getattr(namespace, "_made", 0) + 1
    arguments.rate *= 1.0625
    return namespace._made + arguments.rate


variable, local = contextvars.ContextVar("variable", default=1.0), threading.local()


@place
def context_variable():
    variable.set(variable.get() + 0.75)
    return variable.get()


@place
def attribute_of_a_thread():
    local.calls = getattr(local, "calls", 0) + 1
    return local.calls


class Target:
    calls = 0


def weakly_held():
    target = Target()
    keeps_alive.append(target)
    return weakref.ref(target)


keeps_alive = []
weak = weakly_held()


@place
def target_of_a_weak_reference():
    weak().calls += 1
    return weak().calls


buffers_by_name = {"x": [], "y": []}
second_name = buffers_by_name["x"]


@place
def second_name_of_a_list():
    buffers_by_name["x"].append(1)
    buffers_by_name["y"] = [len(second_name)]
    return len(second_name) + buffers_by_name["y"][0]


@place
def list_that_gets_a_second_name():
    if not hasattr(fields, "both"):
        fields.both = namespace.both = [0]
    fields.both[0] += 1
    return namespace.both[0]


keras_variables, variables = [keras.Variable(1.0)], {"a": tf.Variable(1.0)}
draws = {"tensorflow": tf.random.Generator.from_seed(3), "keras": keras.random.SeedGenerator(4)}
metric = keras.metrics.Mean()
table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0)


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.variable = tf.Variable(1.0)
        self.calls = 0


module = Module()


@place
def variables_in_containers():
    keras_variables[0].assign(keras_variables[0] * 1.25)
    variables["a"].assign_add(0.5)
    module.variable.assign_add(0.25)
    module.calls += 1
    return float(keras_variables[0] + variables["a"] + module.variable) + module.calls


@place
def generators_of_tensorflow_and_keras():
    return float(draws["tensorflow"].normal([])) + float(keras.random.uniform([], seed=draws["keras"]))


@place
def metric_outside_of_compile():
    metric.update_state(2.0 if int(metric.count) else 1.0)
    return float(metric.result())


@place
def mutable_table():
    table.insert(["a"], table.lookup(["a"]) + 1.5)
    return float(table.lookup(["a"])[0])


@place
def module_imported_in_a_function():
    import hidden_settings

    hidden_settings.scale += 0.5
    hidden_settings.variables["scale"].assign_add(0.5)
    scale = hidden_settings.scale + float(hidden_settings.variables["scale"])
    return scale + hidden_settings.generator.random()


class Watches(keras.callbacks.Callback):
    """Keep state in names that Keras uses for models, and be killed at the moment."""

    def on_train_begin(self, logs=None):
        self.history, self.optimizer = {"rates": []}, 1.0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.optimizer *= 0.875
        self.history["rates"].append(self.optimizer)
        self.model.optimizer.learning_rate = 0.01 * self.optimizer
        with open("values.txt", "a") as file:
            file.write(f"{self.epoch}.{batch} {[*latest, sum(self.history['rates'])]}\n")
        if f"{self.epoch}.{batch}" == MOMENT and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)


latest = []


def loss(true, predicted):
    latest[:] = [float(function()) for function in PLACES]
    return keras.ops.mean(keras.ops.square(true - predicted)) * np.float32(sum(latest) / 100)


def build():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.1), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=True)
    return model


trainer = kr.ReproducibleTrainer(build, seed=3, batch_size=8)
trainer.fit(X, Y, epochs=3, snapshot_every=2, verbose=0, callbacks=[Watches()])
