"""The names of a model's state: equal in every build and process, and complete."""

from __future__ import annotations

import collections
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import wrapt
from keras import layers
from keras.src.ops.node import Node
from training import models

import keras_repro
from keras_repro.training.state import walk as state
from keras_repro.training.state.digests import digests_of
from keras_repro.training.state.walk import StateWalk, model_state

# The same with every version: a run can be compared with one of another version.
GOLDEN_NAMES = json.loads(Path(__file__).with_name("golden_names.json").read_text())


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, models.Trained]:
    """Train all cases in another process, with another hash seed and other counters."""
    folders = [Path(keras_repro.__file__).parents[1], Path(models.__file__).parents[1]]
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "PYTHONHASHSEED": "123",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    child = subprocess.run(
        [sys.executable, models.__file__, tmp_path_factory.mktemp("elsewhere")],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return {name: models.Trained(**fields) for name, fields in json.loads(child.stdout).items()}


@pytest.mark.parametrize("name", models.CASES)
def test_names_and_fingerprint_are_equal_in_every_process(
    name: str, elsewhere: dict[str, models.Trained], tmp_path: Path
) -> None:
    first = models.train(models.CASES[name], tmp_path / "first")
    second = models.train(models.CASES[name], tmp_path / "second")
    assert first.names == second.names == elsewhere[name].names == GOLDEN_NAMES[name]
    assert len(set(first.names)) == len(first.names)
    assert first.fingerprint == second.fingerprint == elsewhere[name].fingerprint
    # If these were equal, no counter was shifted and the test would check nothing.
    assert first.keras_names != second.keras_names != elsewhere[name].keras_names


def test_another_seed_has_another_fingerprint(tmp_path: Path) -> None:
    first = models.train(models.CASES["sequential"], tmp_path / "one")
    second = models.train(models.CASES["sequential"], tmp_path / "other", seed=6)
    assert first.names == second.names
    assert first.fingerprint != second.fingerprint


def test_names_follow_the_structure() -> None:
    model = models.subclassed()
    model(models.data()[0])
    model.optimizer.build(model.trainable_variables)
    tensors = [(t.section, t.name) for t in model_state(model)]
    assert tensors[:12] == [
        ("weights", "blocks/0/bias"),
        ("weights", "blocks/0/kernel"),
        ("weights", "blocks/1/0/bias"),
        ("weights", "blocks/1/0/kernel"),
        ("weights", "heads/1/bias"),
        ("weights", "heads/1/kernel"),
        ("weights", "heads/a/0/bias"),
        ("weights", "heads/a/0/kernel"),
        ("weights", "heads/b/bias"),
        ("weights", "heads/b/kernel"),
        ("weights", "private/bias"),
        ("weights", "private/kernel"),
    ]
    assert ("optimizer", "optimizer/learning_rate") in tensors
    assert ("optimizer", "optimizer/iterations") in tensors
    assert ("optimizer", "optimizer/momentums/heads/a/0/kernel") in tensors
    assert ("seeds", "blocks/1/1/seed_generator/state") in tensors
    assert ("metrics", "loss_tracker/total") in tensors
    # Order: weights, optimizer, seeds, metrics.
    sections = [section for section, _ in tensors]
    assert sections == sorted(sections, key=["weights", "optimizer", "seeds", "metrics"].index)


def test_nodes_of_the_graph_are_no_part_of_the_state() -> None:
    """A version may show the nodes of a layer, which lead to all other layers, as its public attributes."""

    class OpenNode(Node):
        """A node whose attributes are read, as those of an object of the program's."""

    models.fresh()
    model = models.functional()
    expected = [t.name for t in model_state(model)]
    for layer in model.layers:
        for name in ("inbound_nodes", "outbound_nodes"):
            vars(layer)[name] = getattr(layer, f"_{name}")
            for node in vars(layer)[name]:
                node.__class__ = OpenNode
    assert [t.name for t in model_state(model)] == expected


def test_shared_layer_is_named_once() -> None:
    names = [t.name for t in model_state(models.shared_layers()) if t.section == "weights"]
    assert len(names) == 4
    assert sum("kernel" in n for n in names) == 2


def test_equally_named_layers_have_different_names() -> None:
    model = models.equally_named()
    model(models.data()[0])
    names = [t.name for t in model_state(model) if t.section == "weights"]
    assert names == ["first/bias", "first/kernel", "second/bias", "second/kernel"]


def _optimizers() -> list[Any]:
    kinds = [
        getattr(keras.optimizers, name)
        for name in dir(keras.optimizers)
        if isinstance(getattr(keras.optimizers, name), type)
    ]
    outer = ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
    return [k for k in kinds if issubclass(k, keras.Optimizer) and k.__name__ not in outer]


@pytest.mark.parametrize("kind", _optimizers(), ids=lambda kind: kind.__name__)
def test_every_variable_of_every_optimizer_is_found(kind: Any) -> None:
    names = []
    for _ in range(2):
        inner = kind(use_ema=True, gradient_accumulation_steps=2)
        model = models.compiled(
            keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(1)]),
            optimizer=keras.optimizers.LossScaleOptimizer(inner),
        )
        model.optimizer.build(model.trainable_variables)
        tensors = model_state(model)
        raw = {id(t.variable) for t in tensors}
        missing = [v.path for v in model.optimizer.variables if id(v._value) not in raw]
        assert missing == []
        names.append([t.name for t in tensors])
    assert names[0] == names[1]
    assert "optimizer/inner_optimizer/model_variables_moving_average/layers/1/kernel" in names[0]
    assert "optimizer/inner_optimizer/accumulated_gradients/layers/1/kernel" in names[0]
    assert "optimizer/dynamic_scale" in names[0]


@pytest.mark.parametrize("shared", [True, False])
def test_optimizers_within_an_optimizer_are_found(shared: bool) -> None:
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, use_bias=False), layers.Dense(1, use_bias=False)]
    )
    momentum = {} if shared else {f".*/{model.layers[1].name}/.*": keras.optimizers.SGD(momentum=0.5)}
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.Adam(), momentum)
    models.compiled(model, optimizer=keras.optimizers.MultiOptimizer(optimizers))
    model.optimizer.build(model.trainable_variables)
    tensors = model_state(model)
    raw = {id(t.variable) for t in tensors}
    assert [v.path for v in model.optimizer.variables if id(v._value) not in raw] == []
    names = [t.name for t in tensors]
    last = "optimizer/inner_optimizers/0/momentums/layers/1/kernel"
    assert last in names
    # Two optimizers and two weights: the list of optimizers is not a list of slots.
    assert (last.replace("0", "1").replace("layers/1", "layers/0") in names) is not shared


def test_variables_that_keras_does_not_list_are_found() -> None:
    sections = {t.name: t.section for t in model_state(models.own_noise())}
    assert sections["layers/1/scale"] == "weights"
    assert sections["layers/1/random/state"] == "seeds"
    model = models.with_plain_object()
    model(models.data()[0])
    plain = {t.name: t.section for t in model_state(model)}
    assert plain["settings/threshold"] == "weights"
    assert plain["settings/layer/kernel"] == "weights"


def test_variables_that_only_tensorflow_tracks_are_found() -> None:
    model = models.sequential()
    model.kept = tf.train.Checkpoint(step=tf.Variable(3), more=tf.train.Checkpoint(deep=tf.Variable(4)))
    tracked = [t for t in model_state(model) if t.name.startswith("tracked/")]
    assert sorted(int(t.variable.numpy()) for t in tracked if t.keras_name == "Variable:0") == [3, 4]


class _Slots:
    __slots__ = ("_hidden", "empty", "variable")

    def __init__(self) -> None:
        self.variable = tf.Variable(1.0)
        self._hidden = [tf.Variable(2.0)]


class _Link:
    def __init__(self, depth: int) -> None:
        self.variable = tf.Variable(float(depth))
        self.next = _Link(depth - 1) if depth else None


def test_all_kinds_of_containers_are_searched() -> None:
    holder = models.Settings()
    holder.__dict__.clear()
    holder.after_many = [*range(5000), tf.Variable(1.0)]  # type: ignore[attr-defined]
    holder.deque = collections.deque([tf.Variable(1.0)])  # type: ignore[attr-defined]
    holder.frozen = frozenset([layers.Dense(2).build((1, 2)), None])  # type: ignore[attr-defined,func-returns-value]
    holder.keyed = {"b": 1, 2: tf.Variable(1.0), ("x", 1): tf.Variable(1.0)}  # type: ignore[attr-defined]
    holder.default = collections.defaultdict(list, a=[tf.Variable(1.0)])  # type: ignore[attr-defined]
    holder.space = SimpleNamespace(a=tf.Variable(1.0))  # type: ignore[attr-defined]
    holder.slots = _Slots()  # type: ignore[attr-defined]
    model = models.sequential()
    model.holder = holder
    names = [t.name for t in model_state(model) if t.name.startswith("holder")]
    assert names == [
        "holder/after_many/5000",
        "holder/default/a/0",
        "holder/deque/0",
        "holder/keyed/('x', 1)",
        "holder/keyed/2",
        "holder/slots/variable",
        "holder/slots/hidden/0",
        "holder/space/a",
    ]


def test_wrapper_of_a_container_is_searched() -> None:
    class Own(wrapt.ObjectProxy):
        pass

    class Entries(dict[str, Any]):
        pass

    layer = layers.Dense(1)
    layer.holder = SimpleNamespace(own=Own(Entries(a=tf.Variable(1.0))))  # Keras would copy a dict
    assert [t.name for t in model_state(layer)] == ["holder/own/a"]


def test_long_chain_is_followed_to_its_end() -> None:
    model = models.sequential()
    model.chain = _Link(150)
    assert sum("chain" in t.name for t in model_state(model)) == 151


def test_set_is_ordered_by_creation() -> None:
    digests = []
    for _ in range(2):
        # 12 layers a model: one of their counters passes from 9 to 10, which changes the order by name.
        keras.utils.set_random_seed(5)
        model = models.compiled(models.WithSets())
        model(models.data()[0])
        digests.append(digests_of(model_state(model))["weights"])
    assert digests[0] == digests[1]
    assert "branches/11/kernel" in digests[0]


def test_entries_keyed_by_objects_are_named_by_index() -> None:
    names = []
    for _ in range(2):
        model = models.sequential()
        model.gates = {layer: tf.Variable(1.0) for layer in model.layers} | {"plain": tf.Variable(1.0)}
        names.append([t.name for t in model_state(model) if t.name.startswith("gates")])
    assert names[0] == names[1] == ["gates/plain", "gates/0", "gates/1"]


def test_cycles_do_not_change_the_names() -> None:
    model = models.sequential()
    before = [t.name for t in model_state(model)]
    holder = models.Settings()
    holder.__dict__.clear()
    holder.me = holder  # type: ignore[attr-defined]
    holder.model = model  # type: ignore[attr-defined]
    holder.round = [holder, {"again": holder}]  # type: ignore[attr-defined]
    object.__setattr__(model, "a_cycle", holder)
    assert [t.name for t in model_state(model)] == before


def _fail(*_: Any) -> Any:
    random.random()
    raise AssertionError("the walk called the user's code")


class _Trap:
    """Each method that Python calls implicitly draws from a generator, then fails."""

    value = property(_fail)
    name = property(_fail)
    variables = property(_fail)
    state = property(_fail)
    shape = property(_fail)
    dtype = property(_fail)
    __len__ = __iter__ = __getitem__ = __call__ = __str__ = __repr__ = _fail
    __eq__ = __bool__ = __contains__ = __getattr__ = __array__ = __fspath__ = _fail
    __hash__ = object.__hash__

    def __init__(self) -> None:
        self.kept = tf.Variable(1.0)


class _TrapMapping(Mapping[str, Any]):
    __len__ = __iter__ = __getitem__ = __contains__ = _fail
    keys = values = items = _fail

    def __init__(self) -> None:
        self.kept = tf.Variable(1.0)


class _TrapList(list[Any]):
    __len__ = __iter__ = __getitem__ = __contains__ = _fail


class _TrapDict(dict[str, Any]):
    __len__ = __iter__ = __getitem__ = __contains__ = _fail
    keys = values = items = get = _fail


class _TrapModel(keras.Model):
    """A model whose own properties fail."""

    drawn = property(_fail)

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_no_code_of_the_user_is_called() -> None:
    model = models.compiled(_TrapModel())
    model(models.data()[0])
    holder = models.Settings()
    holder.__dict__.clear()
    members = {
        "trap": _Trap(),
        "mapping": _TrapMapping(),
        "list": _TrapList([tf.Variable(1.0)]),
        "dict": _TrapDict({"a": tf.Variable(1.0)}),
        "keys": {_Trap(): tf.Variable(1.0)},
        "set": {_Trap()},
    }
    holder.__dict__.update(members)
    object.__setattr__(model, "holder", holder)
    before = random.getstate()
    names = [t.name for t in model_state(model) if t.name.startswith("holder")]
    assert names == [
        "holder/dict/a",
        "holder/keys/0",
        "holder/list/0",
        "holder/mapping/kept",
        "holder/set/0/kept",
        "holder/trap/kept",
    ]
    assert random.getstate() == before


def _generator() -> Iterator[int]:
    yield from range(3)


def test_other_attributes_are_skipped(tmp_path: Path) -> None:
    model = models.sequential()
    before = [t.name for t in model_state(model)]
    drawing = _generator()
    with open(tmp_path / "file", "w") as file:
        members = {
            "module": np,
            "function": _generator,
            "generator": drawing,
            "dataset": tf.data.Dataset.range(3).shuffle(3),
            "array": np.zeros((1000, 1000)),
            "objects": np.array([model, None], dtype=object),
            "tensor": tf.zeros(3),
            "type": models.Gan,
            "file": file,
            "lock": threading.Lock(),
            "none": None,
            "text": "text",
            "many": list(range(1_000_000)),
            "table": {i: i for i in range(100_000)},
            "numbers": {1, 2.0, "three"},
        }
        for name, value in members.items():
            object.__setattr__(model, name, value)
        assert [t.name for t in model_state(model)] == before
    assert next(drawing) == 0


def test_several_models_and_optimizers_are_named() -> None:
    generator, discriminator = models.sequential(), models.sequential()
    extra = [keras.optimizers.SGD(), keras.optimizers.SGD()]
    names = [t.name for t in model_state({"g": generator, "d": discriminator}, extra)]
    assert "g/layers/0/kernel" in names
    assert "d/optimizer/learning_rate" in names
    assert "optimizer/0/learning_rate" in names
    assert "optimizer/1/learning_rate" in names
    slot = keras.optimizers.Adam()
    slot.build(generator.trainable_variables)
    names = [t.name for t in model_state({"g": generator}, {"own": slot})]
    assert "own/momentums/g/layers/0/kernel" in names


def test_global_seed_generator_is_found_and_not_created() -> None:
    models.fresh()
    model = models.sequential()
    assert "global_seed_generator/state" not in [t.name for t in model_state(model)]
    assert "global_seed_generator/state" not in [t.name for t in model_state(model)]
    keras.random.normal((1,))
    assert "global_seed_generator/state" in [t.name for t in model_state(model) if t.section == "seeds"]


# Repeated walks: only if something changed.


def _no_change(model: Any) -> None:
    """Change only what a training changes between two walks."""
    model.plain, model.note = 3, "text"
    model.train_on_batch(*models.data())


def _build_layer(model: Any) -> None:
    model.settings.extra[0].build((None, 4))


CHANGES: dict[str, Callable[[Any], object]] = {
    "an attribute": lambda m: setattr(m, "scale", tf.Variable(1.0)),
    "a layer in a list": lambda m: m.settings.extra.append(_built(layers.Dense(2))),
    "a layer in an empty list": lambda m: m.settings.nothing.append(_built(layers.Dense(2))),
    "a layer in place of another": lambda m: m.settings.extra.__setitem__(1, _built(layers.Dense(2))),
    "a layer that is built": _build_layer,
    "an attribute of a plain object": lambda m: setattr(m.settings, "more", tf.Variable(1.0)),
    "a plain attribute that is a variable now": lambda m: setattr(m.settings, "number", tf.Variable(1.0)),
    "a slot that is filled": lambda m: setattr(m.slotted, "late", tf.Variable(1.0)),
    "an entry of a dict": lambda m: m.table.__setitem__("c", tf.Variable(1.0)),
    "another key": lambda m: m.table.__setitem__("z", m.table.pop("a")),
    "a plain entry that is a variable now": lambda m: m.numbers.__setitem__("one", tf.Variable(1.0)),
    "another optimizer": lambda m: m.compile("sgd", "mse"),
    "an optimizer's slot": lambda m: m.optimizer.add_variable_from_reference(m.layers[0].kernel, "slot"),
    "a tf.Variable in a layer": lambda m: setattr(m.layers[0], "kernel2", tf.Variable(1.0)),
    "another tf.Variable in a Keras variable": lambda m: setattr(
        m.layers[0].bias, "_value", tf.Variable(m.layers[0].bias.value)
    ),
    "a generator": lambda m: setattr(m.settings, "noise", keras.random.SeedGenerator(3)),
    "a metric": lambda m: setattr(m.settings, "spread", keras.metrics.Mean()),
    "the global generator": lambda m: keras.random.uniform(()),
    "a removed variable": lambda m: m.table.pop("a"),
}


class _Slotted:
    __slots__ = ("here", "late")

    def __init__(self) -> None:
        self.here = tf.Variable(1.0)


def _built(layer: Any) -> Any:
    layer.build((None, 4))
    return layer


class _Walked(keras.Model):
    """Contain each kind of object that a walk searches."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)
        self.settings = models.Settings()
        self.settings.number = 1
        self.settings.extra = [layers.Dense(4), layers.Dense(4)]
        self.settings.nothing = []
        self.slotted = _Slotted()
        self.table = {"a": tf.Variable(1.0), "b": tf.Variable(2.0)}
        self.numbers = {"one": 1, "two": 2}

    def build(self, shape: Any) -> None:
        self.dense.build((None, 4))

    def call(self, x: Any) -> Any:
        return self.dense(x)


def _walked() -> tuple[Any, StateWalk]:
    models.fresh()
    model = models.compiled(_Walked())
    model.run_eagerly = True
    model.train_on_batch(*models.data())
    walk = StateWalk(model)
    walk.tensors()
    return model, walk


@pytest.mark.parametrize("change", CHANGES)
def test_walk_is_repeated_if_something_changed(change: str) -> None:
    model, walk = _walked()
    before = walk.tensors(full=False)
    CHANGES[change](model)
    after = walk.tensors(full=False)
    assert [(t.name, id(t.variable)) for t in after] == [(t.name, id(t.variable)) for t in model_state(model)]
    assert [(t.name, id(t.variable)) for t in after] != [(t.name, id(t.variable)) for t in before]
    assert walk.tensors(full=False) is after


def test_walk_is_not_repeated_if_nothing_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, walk = _walked()
    _no_change(model)
    before = walk.tensors(full=False)
    walks: list[int] = []
    monkeypatch.setattr(state, "Walk", lambda *_: walks.append(1))
    for _ in range(3):
        _no_change(model)
        assert walk.tensors(full=False) is before
    assert walks == []
    with pytest.raises(AttributeError):
        walk.tensors()  # a full walk is always made


def test_repeated_walk_over_several_models_and_optimizers() -> None:
    named = {"a": models.sequential(), "b": models.sequential()}
    optimizers = [keras.optimizers.SGD()]
    walk = StateWalk(named, optimizers)
    before = walk.tensors()
    assert walk.tensors(full=False) is before
    optimizers.append(keras.optimizers.SGD())
    assert {t.name.split("/")[1] for t in walk.tensors(full=False) if t.name.startswith("optimizer/")} == {
        "0",
        "1",
    }
    named["b"] = models.functional()
    assert [t.name for t in walk.tensors(full=False)] == [t.name for t in model_state(named, optimizers)]
