"""`Recorder`: each part of the state by its name, and custom training loops."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from training import models

import keras_repro as kr
from keras_repro.errors import ReproError, RunFolderError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Record
from keras_repro.training.recording.recorded_part import RecordedPart
from keras_repro.training.recording.recording_options import RecordingOptions
from keras_repro.training.recording.run_recorder import RunRecorder


def _record(folder: Path, model: Any, **more: Any) -> Path:
    with kr.Recorder(folder, model=model, **more):
        pass
    return folder


def _gan() -> Any:
    model = models.gan()
    model.fit(models.data()[0], batch_size=12, verbose=0)
    return model


def _built(model: Any) -> Any:
    model(models.data()[0])
    model.optimizer.build(model.trainable_variables)
    return model


def _everything_optimizer() -> Any:
    inner = keras.optimizers.Adam(use_ema=True, gradient_accumulation_steps=2)
    optimizer = keras.optimizers.LossScaleOptimizer(inner)
    return _built(models.compiled(keras.Sequential([layers.Dense(1)]), optimizer=optimizer))


_BUILDERS: dict[str, Callable[[], Any]] = {
    "gan": _gan,
    "own noise": lambda: _built(models.own_noise()),
    "functional": lambda: _built(models.functional()),
    "plain object": lambda: _built(models.with_plain_object()),
    "optimizer": _everything_optimizer,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path]]:
    """Return each model, built once, and the folder in which its state is recorded."""
    known: dict[str, tuple[Any, Path]] = {}

    def get(name: str) -> tuple[Any, Path]:
        if name not in known:
            model = _BUILDERS[name]()
            known[name] = model, _record(tmp_path_factory.mktemp("base") / "run", model)
        return known[name]

    return get


@pytest.mark.parametrize(
    ("model", "section", "tensor"),
    [
        ("gan", "weights", "generator/layers/0/kernel"),
        ("gan", "weights", "discriminator/layers/2/bias"),
        ("gan", "optimizer", "d_optimizer/momentums/discriminator/layers/0/kernel"),
        ("gan", "optimizer", "d_optimizer/velocities/discriminator/layers/2/bias"),
        ("gan", "optimizer", "g_optimizer/velocities/generator/layers/1/kernel"),
        ("gan", "optimizer", "g_optimizer/learning_rate"),
        ("gan", "optimizer", "d_optimizer/iterations"),
        ("own noise", "weights", "layers/1/scale"),
        ("functional", "weights", "layers/2/moving_mean"),
        ("functional", "weights", "layers/2/moving_variance"),
        ("functional", "weights", "layers/2/gamma"),
        ("functional", "optimizer", "optimizer/momentums/layers/2/gamma"),
        ("functional", "optimizer", "optimizer/learning_rate"),
        ("functional", "optimizer", "optimizer/iterations"),
        ("plain object", "weights", "settings/threshold"),
        ("plain object", "weights", "settings/layer/kernel"),
        ("optimizer", "optimizer", "optimizer/dynamic_scale"),
        ("optimizer", "optimizer", "optimizer/step_counter"),
        ("optimizer", "optimizer", "optimizer/inner_optimizer/learning_rate"),
        ("optimizer", "optimizer", "optimizer/inner_optimizer/accumulated_gradients/layers/0/kernel"),
        (
            "optimizer",
            "optimizer",
            "optimizer/inner_optimizer/model_variables_moving_average/layers/0/kernel",
        ),
    ],
)
def test_flipped_bit_is_detected_and_named(
    model: str, section: str, tensor: str, built: Callable[[str], tuple[Any, Path]], tmp_path: Path
) -> None:
    network, base = built(model)
    variable = models.named(network, tensor).variable
    models.flip_bit(variable)
    try:
        comparison = kr.compare(base, _record(tmp_path / "flipped", network))
    finally:
        models.flip_bit(variable)
    divergence = comparison.divergence
    assert divergence is not None
    assert comparison.verdict == "diverged"
    assert divergence.tensors == ({"section": section, "tensor": tensor},)
    assert (divergence.section, divergence.tensor, divergence.kind, divergence.epoch) == (
        section,
        tensor,
        "start",
        None,
    )
    assert kr.compare(base, _record(tmp_path / "back", network)).verdict == "identical"


def _draw(generator: Any) -> None:
    if isinstance(generator, keras.random.SeedGenerator):
        generator.next()
    else:
        generator.normal((1,))


@pytest.mark.parametrize(
    ("model", "generator"),
    [
        ("gan", "noise"),
        ("gan", "discriminator/layers/1/seed_generator"),
        ("own noise", "layers/1/random"),
        ("functional", "layers/3/seed_generator"),
    ],
)
def test_flipped_bit_of_a_generator_is_detected_once_it_draws(
    model: str, generator: str, built: Callable[[str], tuple[Any, Path]], tmp_path: Path
) -> None:
    network, _ = built(model)
    tensor = models.named(network, f"{generator}/state")
    before = np.array(tensor.variable.numpy())

    def record(folder: Path, *, flip: bool, draw: bool) -> Path:
        tensor.variable.assign(before)
        if flip:
            models.flip_bit(tensor.variable)
        with kr.Recorder(folder, model=network) as recorder:
            if draw:
                _draw(tensor.generator)
            recorder.epoch({"loss": 0.5})
        tensor.variable.assign(before)
        return folder

    drawn = [record(tmp_path / f"drawn {flip}", flip=flip, draw=True) for flip in (False, True)]
    divergence = kr.compare(*drawn).divergence
    assert divergence is not None
    assert (divergence.section, divergence.epoch, divergence.cause) == ("seeds", 0, "random_state")
    names = [f"{generator}/state", f"{generator}/state at the start"]
    assert sorted(t["tensor"] for t in divergence.tensors) == names

    still = [record(tmp_path / f"still {flip}", flip=flip, draw=False) for flip in (False, True)]
    comparison = kr.compare(*still)
    assert comparison.verdict == "identical"
    assert any(f"{generator}/state" in note and "latent" in note for note in comparison.notes)


def test_generator_that_draws_in_one_run_only_is_reported(tmp_path: Path) -> None:
    runs = []
    for draws in (0, 1):
        models.fresh()
        model = _built(models.functional())
        generator = models.named(model, "layers/3/seed_generator/state").generator
        with kr.Recorder(tmp_path / str(draws), model=model) as recorder:
            for _ in range(draws):
                generator.next()
            recorder.epoch()
        runs.append(tmp_path / str(draws))
    comparison = kr.compare(*runs)
    assert comparison.verdict == "diverged"
    assert comparison.divergence is not None
    assert comparison.divergence.section == "seeds"


def _loop(folder: Path, *, seed: int = 5, wrong_epoch: int | None = None) -> kr.Recorder:
    """A GradientTape loop with two networks and an optimizer that belongs to no model."""
    models.fresh(seed)
    x, y = models.data()
    nets = {"encoder": keras.Sequential([layers.Dense(3)]), "head": keras.Sequential([layers.Dense(1)])}
    optimizer = keras.optimizers.Adam(0.01)

    @tf.function
    def step(rows: Any) -> Any:
        with tf.GradientTape() as tape:
            error = tf.reduce_mean(
                (nets["head"](nets["encoder"](tf.gather(x, rows))) - tf.gather(y, rows)) ** 2
            )
        variables = nets["encoder"].trainable_variables + nets["head"].trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(error, variables), variables, strict=True))
        return error

    with kr.Recorder(folder, model=nets, optimizers=[optimizer], seed=seed) as recorder:
        for epoch in range(3):
            for start in range(0, 24, 8):
                loss = step(tf.range(start, start + 8))
            if epoch == wrong_epoch:
                models.flip_bit(models.named(nets, "head/layers/0/kernel").variable)
            recorder.epoch({"loss": loss})
    return recorder


def test_custom_training_loop_is_recorded(tmp_path: Path) -> None:
    first, second = _loop(tmp_path / "1"), _loop(tmp_path / "2")
    assert first.fingerprint == second.fingerprint
    ledger = open_ledger(tmp_path / "1")
    assert ledger.fingerprint == first.fingerprint
    assert ledger.status == "finished"
    assert ledger.header["seed"] == 5
    records = list(ledger.typed_records())
    positions = [r.position for r in records]
    assert positions == ["fit 0", "start 0", "birth 0 0", "epoch 0 0", "epoch 0 1", "epoch 0 2", "end 0"]
    # Both networks and the slots are created in the first step.
    assert sorted(records[2].sections) == ["optimizer", "weights"]
    assert "optimizer/momentums/encoder/layers/0/kernel" in records[2].tensors["optimizer"]
    assert "weights" not in records[1].sections
    assert records[3].metrics["loss"] > 0


def test_divergence_of_a_custom_training_loop_is_reported(tmp_path: Path) -> None:
    _loop(tmp_path / "1")
    _loop(tmp_path / "wrong", wrong_epoch=1)
    _loop(tmp_path / "unseeded", seed=6)
    divergence = kr.compare(tmp_path / "1", tmp_path / "wrong").divergence
    assert divergence is not None
    assert (divergence.epoch, divergence.tensors) == (
        1,
        ({"section": "weights", "tensor": "head/layers/0/kernel"},),
    )
    divergence = kr.compare(tmp_path / "1", tmp_path / "unseeded").divergence
    assert divergence is not None
    assert (divergence.epoch, divergence.cause, divergence.kind) == (None, "initial_weights", "birth")
    assert divergence.tensor == "encoder/layers/0/kernel"


def test_train_on_batch_is_recorded(tmp_path: Path) -> None:
    def run(folder: Path) -> str:
        models.fresh()
        model = models.functional()
        x, y = models.data()
        recorder = kr.Recorder(folder, model=model)
        for _ in range(2):
            logs = model.train_on_batch(x, y, return_dict=True)
            recorder.epoch(logs)  # starts the recording
        assert recorder.fingerprint.endswith("-partial")
        recorder.end()
        recorder.end()
        return recorder.fingerprint

    assert run(tmp_path / "1") == run(tmp_path / "2")
    ledger = open_ledger(tmp_path / "1")
    assert [r.kind for r in ledger.typed_records()].count("end") == 1


def test_error_in_the_loop_ends_the_run_as_stopped(tmp_path: Path) -> None:
    model = _built(models.functional())
    with pytest.raises(ZeroDivisionError), kr.Recorder(tmp_path / "run", model=model):
        raise ZeroDivisionError
    ledger = open_ledger(tmp_path / "run")
    assert ledger.status == "stopped"
    assert str(ledger.fingerprint).endswith("-partial")


def test_epochs_may_be_numbered_by_the_caller(tmp_path: Path) -> None:
    with kr.Recorder(tmp_path / "run", model=_built(models.functional())) as recorder:
        recorder.epoch(epoch=7)
        recorder.epoch()
    epochs = [r.epoch for r in open_ledger(tmp_path / "run").typed_records() if r.kind == "epoch"]
    assert epochs == [7, 8]


def test_existing_run_is_kept(tmp_path: Path) -> None:
    model = _built(models.functional())
    _record(tmp_path / "run", model)
    before = (tmp_path / "run" / "ledger.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match="holds a run already: choose another, or overwrite"):
        kr.Recorder(tmp_path / "run", model=model)
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == before
    _record(tmp_path / "run", model, overwrite=True)


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Limit the size of the files of this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_ends_only_the_recording(tmp_path: Path, small_files: Callable[[int], None]) -> None:
    recorder = kr.Recorder(tmp_path / "run", model=_built(models.functional()))
    recorder.epoch()
    small_files((tmp_path / "run" / "ledger.jsonl").stat().st_size + 200)
    with pytest.warns(UserWarning, match="recording ended at epoch 2: cannot write .*the training continues"):
        recorder.epoch()
    small_files(resource.RLIM_INFINITY)
    recorder.epoch()  # no second warning, and no record after the gap
    recorder.end()
    ledger = open_ledger(tmp_path / "run")
    assert [r.position for r in ledger.typed_records()] == ["fit 0", "start 0", "epoch 0 0"]
    assert ledger.status == "killed"
    assert recorder.fingerprint == ledger.fingerprint
    assert str(ledger.fingerprint).endswith("-partial")


def test_closed_descriptor_ends_only_the_recording(tmp_path: Path) -> None:
    recorder = kr.Recorder(tmp_path / "run", model=_built(models.functional()))
    recorder.epoch()
    for descriptor in os.listdir("/proc/self/fd"):
        if os.path.realpath(f"/proc/self/fd/{descriptor}") == str((tmp_path / "run/ledger.jsonl").resolve()):
            os.close(int(descriptor))
    with pytest.warns(UserWarning, match="recording ended at epoch 2"):
        recorder.epoch()
    recorder.end()
    positions = [r.position for r in open_ledger(tmp_path / "run").typed_records()]
    assert positions == ["fit 0", "start 0", "epoch 0 0"]


def test_recorder_starts_once_and_records_nothing_after_its_end(tmp_path: Path) -> None:
    recorder = kr.Recorder(tmp_path / "run", model=_built(models.functional()))
    recorder.start()
    with recorder:
        recorder.epoch()
    recorder.end()
    with pytest.raises(ReproError, match=r"has ended\. Create another for another training"):
        recorder.epoch()
    positions = [r.position for r in open_ledger(tmp_path / "run").typed_records()]
    assert positions == ["fit 0", "start 0", "epoch 0 0", "end 0"]


def test_failure_of_the_recording_ends_its_part_only(tmp_path):
    run = RunRecorder(tmp_path / "run", RecordingOptions(), coverage="sm")
    first, second = RecordedPart(run), RecordedPart(run)
    assert (first.begin_fit(), second.begin_fit()) == (0, 1)
    with (
        pytest.warns(
            UserWarning, match="recording ended at epoch 3: KeyError: 'name'; the training continues"
        ),
        first.guarded("epoch 3"),
    ):
        raise KeyError("name")
    first.append(Record(kind="epoch", fit=0, epoch=3))
    with first.guarded("epoch 4"):
        raise KeyError("it was reported already")
    assert not (tmp_path / "run" / "ledger.jsonl").exists()
    second.append(Record(kind="epoch", fit=1, epoch=0))
    with pytest.warns(UserWarning, match="recording ended at epoch 1 of fit 2: ValueError"):
        second.failed("epoch 1", ValueError())
    run.append(Record(kind="end", fit=2))
    assert [r.position for r in open_ledger(tmp_path / "run").typed_records()] == ["epoch 1 0", "end 2"]
    assert run.broken == "recording ended at epoch 3: KeyError: 'name'"
    assert str(run.fingerprint()).endswith("-partial")
    with pytest.raises(ReproError, match="for the user"), RecordedPart(run).guarded("epoch 4"):
        raise ReproError("for the user")
