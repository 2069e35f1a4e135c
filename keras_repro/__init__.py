"""Check whether two Keras trainings are bit-identical; if not, find where and why they diverge.

>>> import keras_repro as kr                                # loads no framework
>>> trainer = kr.ReproducibleTrainer(build_model, seed=42, batch_size=32)
>>> run = trainer.fit(x, y, epochs=3, run_dir="runs/a", verbose=0)
>>> again = trainer.fit(x, y, epochs=3, run_dir="runs/b", verbose=0)
>>> kr.compare("runs/a", "runs/b").verdict
'identical'
"""

import importlib

from keras_repro._version import __version__ as __version__

# `typing` and `__future__` are not imported: with `python -m keras_repro`, a file of that name in the working
# folder would be loaded instead.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from keras_repro.comparison.compare import compare as compare
    from keras_repro.comparison.divergence import Divergence as Divergence
    from keras_repro.comparison.result import Comparison as Comparison
    from keras_repro.determinism.seeds import derive as derive
    from keras_repro.errors import DivergenceError as DivergenceError
    from keras_repro.errors import ReproError as ReproError
    from keras_repro.training.recording.determinism_callback import DeterminismCallback as DeterminismCallback
    from keras_repro.training.recording.loop_recorder import Recorder as Recorder
    from keras_repro.training.trainer.result import Run as Run
    from keras_repro.training.trainer.trainer import ReproducibleTrainer as ReproducibleTrainer

_MODULES = {
    "Comparison": "keras_repro.comparison.result",
    "DeterminismCallback": "keras_repro.training.recording.determinism_callback",
    "Divergence": "keras_repro.comparison.divergence",
    "DivergenceError": "keras_repro.errors",
    "Recorder": "keras_repro.training.recording.loop_recorder",
    "ReproError": "keras_repro.errors",
    "ReproducibleTrainer": "keras_repro.training.trainer.trainer",
    "Run": "keras_repro.training.trainer.result",
    "compare": "keras_repro.comparison.compare",
    "derive": "keras_repro.determinism.seeds",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> "Any":
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
