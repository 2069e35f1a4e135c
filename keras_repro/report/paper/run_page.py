"""Collect the lines of the page of one run, before they become Markdown or JSON.

>>> from keras_repro.report.paper.run_summary import summarize
>>> from keras_repro.ledger.reader import open_ledger
>>> page_of(summarize(open_ledger("check/run-1")))["information"]["TensorFlow Version"]
'2.21.0'

A line that was not recorded is None. A line of several parts is a tuple; `Code` marks text to be copied.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from keras_repro.ledger.schema import COVERAGE, Record
from keras_repro.report import environment_text
from keras_repro.report.paper.limitations import known_limitations
from keras_repro.report.paper.markdown import Code
from keras_repro.report.paper.run_summary import RunSummary
from keras_repro.report.text import counted
from keras_repro.utils.untrusted_json import as_mapping, as_sequence

Line = str | tuple[str, ...] | None

_MOST_DATA = 20
_MODES = {
    "observed": "observed: the script ran unchanged and was only recorded",
    "enforced": "enforced: all switches were pinned before Python started",
}
# The metrics that readers look for, the best first; validation before training.
_HEADLINES = ("accuracy", "acc", "auc", "mae", "mse", "loss")
_REQUIREMENT = re.compile(r"[A-Za-z0-9._+!=-]+")
_LOCALE = ("LANG", "TZ", "LC_")


def page_of(run: RunSummary) -> dict[str, Any]:
    """Return the content of a page.

    Returns:
        `name`, `status`, `mode`, `fingerprint`; `information`, lines by name; `reproduce`, the steps;
        `results`, each `{"where", "metric", "value"}`; `limitations`; `switches`, each `{"name",
        "requested", "achieved", "status"}`; `requirements`, lines for pip.
    """
    ledger = run.ledger
    return {
        "name": ledger.path.resolve().parent.name,
        "status": ledger.status,
        "mode": ledger.header["mode"],
        "fingerprint": ledger.fingerprint and Code(ledger.fingerprint),
        "information": _information(run),
        "reproduce": _steps(run),
        "results": [
            {"where": where, "metric": metric, "value": value}
            for where, metrics in run.results.items()
            for metric, value in metrics.items()
        ],
        "limitations": known_limitations(run),
        "switches": [_switch(name, reading) for name, reading in run.switches.items()],
        "requirements": _requirements(run.environment),
    }


def _information(run: RunSummary) -> dict[str, Line]:
    header, environment = run.ledger.header, run.environment
    versions = environment_text.versions(environment)
    covers = "; ".join(COVERAGE[c] for c in header["coverage"] if c in COVERAGE)
    return {
        "Random Seed": _seed(run),
        "TensorFlow Version": versions["TensorFlow"],
        "Keras Version": versions["Keras"],
        "Python Version": versions["Python"],
        "Hardware": "; ".join(environment_text.hardware(environment)) or None,
        "GPU and Driver": environment_text.gpus_and_drivers(environment),
        "CUDA Version": _gpu_library(environment, "nvidia-cuda-runtime"),
        "cuDNN Version": _gpu_library(environment, "nvidia-cudnn"),
        "Operating System": environment_text.system(environment),
        "Source Code": _source(as_mapping(environment.get("git"))),
        "Data": _data(run.fits),
        "Recorded": header["created"] or None,
        "Wall Time": _wall_time(run),
        "Mode": _MODES.get(header["mode"], header["mode"]),
        "Determinism": _determinism(run),
        "Status": run.ledger.status,
        "Fingerprint": (Code(run.ledger.fingerprint),) if run.ledger.fingerprint else None,
        "What the Fingerprint Covers": covers or None,
        "BLAKE3 of the Whole Ledger": (Code(run.ledger.digest),),
    }


def _determinism(run: RunSummary) -> str | None:
    """Return the level of determinism: for portable runs, as far as the training steps were checked."""
    levels = {
        "bitwise": "bitwise: on this CPU model and with these switches",
        "portable": "; ".join(dict.fromkeys(run.portability))
        or "portable was requested; no training step was checked",
    }
    return levels.get(run.ledger.header["determinism"])


def _steps(run: RunSummary) -> list[Line]:
    seeds, command = _seeds(run), _command(run)
    metric, value = _expected(run.results)
    start = f"Run with seed {', then '.join(seeds)}: " if seeds else "Run: "
    steps: list[Line] = [
        (
            "Install exact dependencies: ",
            Code("pip install -r requirements.txt"),
            " (the list is at the end of this section)",
        ),
        (start, *(command or (environment_text.NOT_RECORDED,))),
        f"Expected {metric}: {value or environment_text.NOT_RECORDED}",
    ]
    header, fingerprint = run.ledger.header, run.ledger.fingerprint
    if fingerprint and run.ledger.status == "finished":
        printed: tuple[str, ...] = ()
        if "r" in header["coverage"] and command:
            printed = (", as ", Code("keras-repro verify"), " prints it for the same script and arguments")
            if header["mode"] == "enforced":
                printed = (", as that command prints it",)
        steps.append(("Expected fingerprint: ", Code(fingerprint), *printed))
    return steps


def _seed(run: RunSummary) -> str | None:
    if seeds := _seeds(run):
        return ", then ".join(seeds)
    known = [as_mapping(r.extra.get("seeds_set")) for r in run.fits]
    return "none was set" if known and all("keras" in s for s in known) else None


def _seeds(run: RunSummary) -> list[str]:
    """Return the seeds in the order in which they were set, each once."""
    pinned = run.ledger.header["seed"]
    seeds: dict[str, None] = {} if pinned is None else {str(pinned): None}
    for record in run.fits:
        seeds_set = as_mapping(record.extra.get("seeds_set"))
        keras, tensorflow = seeds_set.get("keras"), seeds_set.get("tensorflow")
        if keras is None and tensorflow is not None:
            seeds[f"{tensorflow} (tf.random.set_seed alone)"] = None
        elif keras is not None and keras != pinned:
            seeds[f"{keras} (keras.utils.set_random_seed)"] = None
    return list(seeds)


def _gpu_library(environment: Mapping[str, Any], name: str) -> str | None:
    if environment_text.gpus(environment) == []:
        return "not used (no GPU)"
    names = (name, *(f"{name}-cu{major}" for major in (13, 12, 11)))
    return environment_text.package_version(environment, *names)


def _source(git: Mapping[str, Any]) -> Line:
    if not git.get("commit"):
        return None
    dirty = ", with uncommitted changes" if git.get("dirty") else ""
    return ("git commit ", Code(git["commit"]), dirty)


def _data(fits: Sequence[Record]) -> Line:
    texts: dict[tuple[str, ...], None] = {}
    for record in fits:
        data = as_mapping(record.extra.get("data"))
        if data.get("digest"):
            texts[(f"{data.get('samples', '?')} samples, digest ", Code(data["digest"]))] = None
        elif data.get("kind"):
            texts[(f"{data['kind']}, digest not recorded",)] = None
    parts = [part for text in list(texts)[:_MOST_DATA] for part in ("; ", *text)]
    return tuple(parts[1:]) or None


def _wall_time(run: RunSummary) -> str | None:
    if run.seconds is None:
        return None
    fits = f" of {len(run.fits)} fits" if len(run.fits) > 1 else ""
    return f"{run.seconds:.1f} s of training in {counted(run.epochs, 'epoch')}{fits}"


def _command(run: RunSummary) -> Line:
    """Return the command that runs it again, with its environment variables."""
    header = run.ledger.header
    command = header["command"]
    # Pages are published: never name folders of this machine.
    script = str(command.get("script") or "")
    script = PurePath(script).name if PurePath(script).is_absolute() else script
    what = ["-m", command["module"]] if command.get("module") else [script]
    if not what[-1]:
        return None
    words = [*what, *as_sequence(command.get("arguments"))]
    if header["mode"] == "enforced":
        start = ["keras-repro", "run", "--pin-seed", header["seed"]]
        if header["determinism"] == "portable":
            threads = run.switches.get("intra_op_threads", {}).get("requested")
            start += ["--portable", *(["--threads", threads] if threads not in (None, 1) else [])]
        for name in ("max_epochs", "max_steps"):
            if header["policies"].get(name) is not None:
                start += [f"--{name.replace('_', '-')}", header["policies"][name]]
    else:
        variables = as_mapping(run.environment.get("variables"))
        start = [f"{n}={v}" for n, v in variables.items() if not n.startswith(_LOCALE)]
        start.append("python")
    line = Code(" ".join(_quoted(w) for w in [*start, *words]))
    hidden = command.get("hidden")
    return (line, f" ({hidden} arguments are not published)") if hidden else (line,)


def _quoted(word: object) -> str:
    name, equals, value = str(word).partition("=")
    return f"{name}={shlex.quote(value)}" if equals and name.isidentifier() else shlex.quote(str(word))


def _expected(results: Mapping[str, Mapping[str, Any]]) -> tuple[str, str | None]:
    """Return name and value of the main metric, of the last evaluation or else of the last epoch."""
    for where, metrics in reversed(list(results.items())):
        validation = {n.removeprefix("val_"): n for n in metrics if n.startswith("val_")}
        for wanted in _HEADLINES:
            names = [validation.get(wanted), wanted, *(n for n in metrics if n.endswith(f"_{wanted}"))]
            for name in names:
                if name in metrics:
                    return str(name), f"{metrics[name]!s} ({where})"
    return "accuracy", None


def _switch(name: str, reading: Mapping[str, Any]) -> dict[str, str]:
    ok, requested, achieved = (reading.get(k) for k in ("ok", "requested", "achieved"))
    return {
        "name": name,
        "requested": environment_text.switch_value(requested),
        "achieved": environment_text.switch_value(achieved),
        "status": environment_text.switch_status(ok if isinstance(ok, bool) else None, achieved),
    }


def _requirements(environment: Mapping[str, Any]) -> list[str]:
    """Return lines for pip; a comment replaces a name or version that no package can have."""
    lines = []
    for name, version in sorted(as_mapping(environment.get("packages")).items()):
        line = f"{name}=={version}"
        if not _REQUIREMENT.fullmatch(line):
            line = "# (an entry that is not a package)"
        elif name == "keras-repro":
            line = f"# {line} recorded this run; the training does not need it"
        lines.append(line)
    return lines
