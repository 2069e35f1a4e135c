"""Print what a script can find out about Keras's functions, and what the errors of its own look like."""

import copy
import cProfile
import functools
import hashlib
import inspect
import io
import multiprocessing
import os
import pdb
import pickle
import posix
import random
import sys
import threading
import traceback

import cloudpickle
import joblib
import keras
import numpy as np
import tensorflow as tf

# No times in the output.
keras.config.disable_interactive_logging()
METHODS = ("__init__", "fit", "evaluate", "predict", "test_on_batch", "predict_on_batch", "train_on_batch")
X, Y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")


class Mine(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


class FailingCallback(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise ValueError("my callback")


class FailingStep(keras.Sequential):
    def train_step(self, data):
        raise ValueError("my training step")


class FailingLayer(keras.layers.Layer):
    def call(self, x):
        raise ValueError("my layer")


def built(kind=keras.Sequential, *layers, **options):
    keras.utils.set_random_seed(1)
    model = kind([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse", **options)
    return model


def digest(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def look_at_functions():
    functions = [inspect.getattr_static(keras.Model, name) for name in METHODS]
    functions += [keras.Optimizer.apply, keras.Layer.__call__, keras.Layer.__init__, keras.Metric.__init__]
    functions += [random.Random.__init__, threading.Thread.start, multiprocessing.Process.start]
    functions += [tf.data.Dataset.map, tf.data.Dataset.from_generator, keras.layers.TextVectorization.adapt]
    for f in functions:
        print(f.__module__, f.__qualname__, f.__name__, digest(f.__doc__), inspect.signature(f))
        print(" ", pickle.loads(pickle.dumps(f)) is f, joblib.hash(f), inspect.getmodule(f).__name__)
        print(" ", inspect.getsourcefile(f), inspect.getsourcelines(f)[1], digest(inspect.getsource(f)))
        print(" ", f.__defaults__, f.__kwdefaults__, *vars(f))
        print(" ", f.__code__.co_freevars, f.__code__.co_firstlineno, type(f), copy.copy(f) is f)
    setter = keras.utils.PyDataset.workers.fset
    print(setter.__qualname__, inspect.signature(setter), digest(inspect.getsource(setter)))


def look_at_functions_in_c():
    for f in (os.urandom, np.random.default_rng, np.random.RandomState):
        print(f.__qualname__, f.__name__, digest(f.__doc__), inspect.signature(f))
        print(pickle.loads(pickle.dumps(f)) is f)
    print(joblib.hash(np.random.default_rng), posix.urandom is os.urandom)
    state = np.random.RandomState(7)
    print(isinstance(state, np.random.RandomState), pickle.loads(pickle.dumps(state)).rand() == state.rand())
    print(pickle.loads(pickle.dumps(type(state))) is type(state))
    print(type("My", (np.random.RandomState,), {})(7).rand() == np.random.RandomState(7).rand())


def look_at_identity():
    print([getattr(Mine, n) is getattr(keras.Model, n) for n in (*METHODS, "train_step", "call")])
    print(keras.Model.fit is keras.Model.fit, type(built()).train_step is keras.Model.train_step)
    for module in (keras, tf, np.random):
        print(type(module.__spec__), type(module.__loader__), type(module.__spec__.loader), module.__file__)

    @functools.wraps(keras.Model.fit)
    def fit(*args, **kwargs):
        return keras.Model.fit(*args, **kwargs)

    print(fit.__qualname__, inspect.signature(fit), inspect.unwrap(fit) is inspect.unwrap(keras.Model.fit))
    print(len(fit(built(), X, Y, epochs=2, verbose=0).history["loss"]))


def pass_methods_on():
    model = built()
    for f in (
        copy.copy(model.predict),
        copy.deepcopy(model.predict),
        pickle.loads(pickle.dumps(model.predict)),
    ):
        print(f(X, verbose=0).shape)
    print(cloudpickle.loads(cloudpickle.dumps(model.predict))(X, verbose=0).shape)
    copied = cloudpickle.loads(cloudpickle.dumps(Mine))
    print(copied.fit is keras.Model.fit, built(copied).fit(X, Y, verbose=0).epoch)
    print(joblib.hash(keras.Model.fit), joblib.hash(copy.deepcopy(keras.Model.predict)))


def call_wrongly():
    model = built()
    calls = [lambda: model.fit(X, Y, nb_epoch=1), lambda: model.predict(), lambda: keras.Model.evaluate()]
    calls += [
        lambda: model.train_on_batch(),
        lambda: model.predict_on_batch(1, 2),
        lambda: model.optimizer.apply(),
    ]
    calls += [
        lambda: keras.Optimizer(),
        lambda: keras.layers.Dense(),
    ]
    calls += [
        lambda: random.Random(1, 2),
    ]
    calls += [lambda: tf.data.Dataset.range(3).map(), lambda: model.fit(X, Y[:3], verbose=0)]
    for call in calls:
        try:
            call()
        except Exception:
            traceback.print_exc(file=sys.stdout)


def fail():
    models = [(built(run_eagerly=True), [FailingCallback()]), (built(FailingStep), None)]
    models += [(built(FailingStep, run_eagerly=True), None)]
    for model, callbacks in models:
        try:
            model.fit(X, Y, verbose=0, callbacks=callbacks)
        except ValueError as error:
            print(error.__cause__, repr(error.__context__), error.__suppress_context__)
            traceback.print_exc(file=sys.stdout)
    try:
        built(keras.Sequential, FailingLayer())
    except ValueError:
        traceback.print_exc(file=sys.stdout)


def use_in_graph():
    model, optimizer = built(), keras.optimizers.Adam()

    @tf.function
    def train_step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply(gradients, model.trainable_weights)
        np.random.default_rng(np.random.RandomState(1).randint(9))
        return loss, len(os.urandom(1))

    print(train_step(X, Y))


def step_through():
    model = built()
    model.predict(X, verbose=0)
    model.optimizer.apply([tf.zeros_like(v) for v in model.trainable_weights], model.trainable_weights)
    commands = "".join(f"{c}\n" for c in "sssssssssnnnnnnrrrssc")
    debugger = pdb.Pdb(stdin=io.StringIO(commands), stdout=sys.stdout, nosigint=True, readrc=False)
    debugger.use_rawinput = False
    debugger.set_trace()
    model.predict(X, verbose=0)
    model.train_on_batch(X, Y)
    profile = cProfile.Profile()
    profile.runcall(model.predict, X, verbose=0)
    print(
        sorted({entry.code.co_filename for entry in profile.getstats() if "keras_repro" in str(entry.code)})
    )
    steps = []

    def trace(frame, event, argument):
        steps.append((event, frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno))
        return trace

    sys.settrace(trace)
    model.predict_on_batch(X)
    model.optimizer.apply([tf.zeros_like(v) for v in model.trainable_weights], model.trainable_weights)
    sys.settrace(None)
    print(len(steps), digest(steps))


def predict_in_pool():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(built().predict, [X]))


if __name__ == "__main__":
    for check in sys.argv[1:]:
        print(f"== {check}")
        globals()[check]()
