"""Install the probes of a diagnosing process into Python, Keras and TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.backends.hooks import Call, Steps, add_hook
from keras_repro.training.backends.import_hooks import when_imported
from keras_repro.training.probes.entropy_calls import EntropyCalls
from keras_repro.training.probes.event_log import EventLog
from keras_repro.training.state import initial_values


def install(log: EventLog) -> None:
    """Install the probes of models and variables; Keras's trainer has to be imported by now."""
    from keras_repro.training.probes.train_step_probe import TrainStepProbe
    from keras_repro.training.probes.variable_probe import VariableProbe

    def make_train_function(call: Call) -> Steps:
        model = call.arguments["self"]
        TrainStepProbe.unwrap(model)  # the method returns the function without a probe
        yield
        log.model = model
        TrainStepProbe.wrap(log, model)

    add_hook(backend.trainer.trainer_class(), "make_train_function", make_train_function)
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
    when_imported("tensorflow", lambda _: log.sites.watch_pipelines())
    when_imported("keras", watch_keras)
    log.lines.start()
    try:
        yield
    finally:
        log.lines.stop()
