"""Run tests of Keras in this process and write the outcome of each as JSON.

    python run_keras_tests.py OUTCOMES [--callbacks FOLDER] TEST_FILE...

With `--callbacks`, each fit gets a `DeterminismCallback` that records to a numbered folder in FOLDER.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import keras
import pytest
from keras.src.callbacks.callback_list import CallbackList

import keras_repro as kr


class Outcomes:
    """A pytest plugin that collects the outcome of each phase of each test, with the type of its error."""

    def __init__(self) -> None:
        self.of_tests: dict[str, dict[str, str]] = {}

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        error = call.excinfo
        outcome = "passed" if error is None else error.typename
        self.of_tests.setdefault(item.nodeid, {})[call.when] = outcome


class Fits:
    """Count the fits that return; if there is a folder, give each a callback that records to it."""

    def __init__(self, folder: Path | None) -> None:
        self.begun = self.returned = 0
        self._folder = folder

    def watch(self) -> None:
        """Replace `fit` of Keras's trainer."""
        trainer: Any = next(kind for kind in keras.Model.__mro__ if "fit" in vars(kind))
        fit = trainer.fit

        @functools.wraps(fit)
        def watched_fit(model: Any, *args: Any, **kwargs: Any) -> Any:
            self.begun += 1
            if self._folder is not None:
                self._add_callback(self._folder / str(self.begun), kwargs)
            history = fit(model, *args, **kwargs)
            self.returned += 1
            return history

        trainer.fit = watched_fit

    def _add_callback(self, run_dir: Path, arguments: dict[str, Any]) -> None:
        callback = kr.DeterminismCallback(run_dir)
        given = arguments.get("callbacks") or []
        if isinstance(given, CallbackList):
            given.append(callback)
        else:
            arguments["callbacks"] = [*(given if isinstance(given, list | tuple) else [given]), callback]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--callbacks", type=Path)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    fits = Fits(options.callbacks)
    fits.watch()
    outcomes = Outcomes()
    pytest.main(
        [
            "-q",
            "-c",
            "/dev/null",
            "--rootdir",
            "/",
            "-p",
            "no:cacheprovider",
            "--tb=short",
            "--continue-on-collection-errors",
            "-W",
            "ignore",
            *options.files,
        ],
        plugins=[outcomes],
    )
    options.outcomes.write_text(json.dumps({"outcomes": outcomes.of_tests, "fits": fits.returned}))


if __name__ == "__main__":
    main()
