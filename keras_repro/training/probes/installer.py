"""Install the probes of a diagnosing process into Python, Keras and TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import wrapt

from keras_repro.training.backends.active import backend
from keras_repro.training.probes.entropy_calls import EntropyCalls
from keras_repro.training.probes.event_log import EventLog
from keras_repro.training.state import initial_values


def install(log: EventLog) -> None:
    """Install the probes of models and variables; Keras's trainer has to be imported by now."""
    from keras_repro.training.probes.train_step_probe import TrainStepProbe
    from keras_repro.training.probes.variable_probe import VariableProbe

    def make_train_function(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        function = wrapped(*args, **kwargs)
        if isinstance(function, TrainStepProbe):
            function = function.function
        log.model = instance
        TrainStepProbe.wrap(log, instance)
        return function

    wrapt.wrap_function_wrapper(backend.trainer.trainer_class(), "make_train_function", make_train_function)
    log.variables = VariableProbe(log.note, log.sites, is_active=lambda: log.active)
    initial_values.start(log.variables)
    log.variables.watch_variables()


@contextlib.contextmanager
def watching_lines(log: EventLog) -> Iterator[None]:
    """Trace the user's lines in the block, and what they construct, open and draw."""

    def watch_keras(module: Any) -> None:
        from keras_repro.training.probes.custom_loop_probe import CustomLoopProbe

        log.sites.watch_keras()
        CustomLoopProbe(log).install()

    log.sites.watch_threads()
    entropy = EntropyCalls(log.note)
    entropy.watch()
    log.lines.after_line = entropy.note_draws
    log.files.install()
    wrapt.register_post_import_hook(lambda _: log.sites.watch_pipelines(), "tensorflow")
    wrapt.register_post_import_hook(watch_keras, "keras")
    log.lines.start()
    try:
        yield
    finally:
        log.lines.stop()
