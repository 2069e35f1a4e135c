"""Turn the options of `run` and `verify` into a task."""

from __future__ import annotations

import argparse

from keras_repro.determinism.portable_pins import Portability, portable_environment
from keras_repro.determinism.switches import pinned_environment
from keras_repro.errors import ReproError
from keras_repro.processes.task import Task, check_task


def task_from_options(options: argparse.Namespace) -> Task:
    """Make the task that the options ask for.

    Raises:
        ReproError: the options do not fit together, or there is no such script.
    """
    pinned, portability = pinned_environment(options.pin_seed) if options.enforce else {}, None
    if options.portable:
        if not options.enforce:
            raise ReproError("--portable pins every switch: add --enforce")
        portability = Portability(threads=options.threads, strict=not options.allow_unportable)
        pinned = portable_environment(options.pin_seed, threads=options.threads, strict=portability.strict)
    elif options.threads != 1 or options.allow_unportable:
        raise ReproError("--threads and --allow-unportable are for portable runs: add --portable")
    task = Task(
        script=options.script,
        module=options.module,
        arguments=tuple(options.arguments),
        publish_arguments=options.publish_arguments,
        seed=options.pin_seed if options.enforce else None,
        pinned=pinned,
        portability=portability,
        keep_hash_seed=options.keep_hash_seed,
        max_epochs=options.max_epochs,
        max_steps=options.max_steps,
        every=options.every,
    )
    check_task(task)
    return task


def script_words(options: argparse.Namespace) -> str:
    """Return the script as it was given: a path, or `-m` and a module."""
    return f"-m {options.module}" if options.module else str(options.script)


def command_words(options: argparse.Namespace) -> str:
    """Return the script and its arguments, as they were given."""
    return " ".join([script_words(options), *options.arguments])


def published_command_words(options: argparse.Namespace) -> str:
    """Return the script and its arguments for a page that is published."""
    from keras_repro.provenance.redaction import redact_arguments, redact_path

    what = script_words(options) if options.module else redact_path(options.script)
    return " ".join([what, *redact_arguments(options.arguments, publish=options.publish_arguments)[0]])


def mode_words(options: argparse.Namespace) -> str:
    """Return how the script is run."""
    return "enforced: all switches pinned" if options.enforce else "observed: the script runs unchanged"
