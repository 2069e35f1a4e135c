"""Copies of a `DeterminismCallback`, as tuners and scikit-learn make them: each records its own run."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from training import models

import keras_repro as kr
from keras_repro.errors import RunFolderError

COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda callback: pickle.loads(pickle.dumps(callback)),
    lambda callback: cloudpickle.loads(cloudpickle.dumps(callback)),
    lambda callback: clone(Estimator(callbacks=[callback])).callbacks[0],
]


class Estimator(BaseEstimator):
    """A model with callbacks as a parameter, as in scikeras."""

    def __init__(self, callbacks: list[Any] | None = None) -> None:
        self.callbacks = callbacks


class Named(kr.DeterminismCallback):
    """A callback of the user's, with an attribute of its own."""

    def __init__(self, run_dir: Any, name: str) -> None:
        super().__init__(run_dir, keep="last", seed=5)
        self.name = name


def _fit(*callbacks: Any) -> None:
    models.fresh()
    models.sequential().fit(*models.data(), verbose=0, callbacks=list(callbacks))


def test_each_copy_records_its_own_run(here: Path) -> None:
    original = kr.DeterminismCallback("runs/a", seed=5)
    trials = [make(original) for make in COPIES]
    assert sorted(p.name for p in here.glob("runs/*")) == ["a"]  # nothing is made before a fit
    assert [(t.fingerprint, t.divergence, t.run_dir) for t in trials] == [(None, None, Path("runs/a"))] * 5
    (here / "runs" / "a-3").mkdir()  # of somebody else
    for trial in (original, *trials):
        _fit(trial)
    assert [str(t.run_dir) for t in (original, *trials)] == [
        *("runs/a", "runs/a-2", "runs/a-4", "runs/a-5", "runs/a-6", "runs/a-7")
    ]
    assert {t.fingerprint for t in trials} == {original.fingerprint}
    assert kr.compare("runs/a", "runs/a-7").verdict == "identical"
    assert kr.compare("runs/a", "runs/a-7").ledgers[1].header["seed"] == 5
    _fit(trials[0])  # its second fit is in the same run
    assert kr.compare("runs/a", "runs/a-2").divergence is not None


def test_copy_of_a_callback_that_has_recorded_is_a_new_one(here: Path) -> None:
    copies: list[Any] = []

    class Copier(kr.DeterminismCallback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_end(epoch, logs)
            copies.append(copy.deepcopy(self))

    original = Copier("a")
    _fit(original)
    copies.append(copy.deepcopy(original))
    assert [(c.fingerprint, c.fit, c.model) for c in copies] == [(None, None, None)] * 2
    _fit(copies[1])
    _fit(copies[0])
    assert [str(c.run_dir) for c in copies[:2]] == ["a-3", "a-2"]
    assert copies[0].fingerprint == copies[1].fingerprint == original.fingerprint


def test_copy_keeps_settings_and_attributes_of_a_derived_class(here: Path) -> None:
    original = Named("a", "first")
    trial = copy.deepcopy(copy.deepcopy(original))
    _fit(trial)
    assert (trial.name, type(trial), str(trial.run_dir)) == ("first", Named, "a-2")
    assert [path.name for path in here.glob("a-2/snapshots/*")] == ["fit-1-epoch-1.h5"]


def test_copy_compares_with_the_same_reference(here: Path) -> None:
    _fit(kr.DeterminismCallback("a"))
    second = kr.DeterminismCallback("b", reference="a", on_divergence="stop", overwrite=True)
    same, other = copy.deepcopy(second), copy.deepcopy(second)
    _fit(same)
    assert (same.divergence, str(same.run_dir)) == (None, "b-2")
    models.fresh(6)
    with pytest.warns(UserWarning, match="diverged from the reference before the first epoch"):
        models.sequential().fit(*models.data(), verbose=0, callbacks=[other])
    assert str(other.run_dir) == "b-3"  # overwrite concerns run_dir itself


def test_copy_into_an_impossible_folder_is_an_error(here: Path) -> None:
    trial = copy.deepcopy(kr.DeterminismCallback("below/a"))
    (here / "below" / "a").rmdir()
    (here / "below").rmdir()
    (here / "below").write_text("")
    with pytest.raises(RunFolderError, match=r"cannot make a copy of run folder below/a: "):
        _fit(trial)
    assert np.all((here / "below").stat().st_size == 0)
