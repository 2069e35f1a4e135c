"""Collect the lines of the page of one run, before they become Markdown or JSON.

>>> from keras_repro.report.paper.run_summary import summarize
>>> from keras_repro.ledger.reader import open_ledger
>>> page_of(summarize(open_ledger("check/run-1")))["information"]["TensorFlow Version"]
'2.21.0'

A line that was not recorded is None. A line of several parts is a tuple; `Code` marks text to be copied.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from keras_repro.ledger.schema import COVERAGE, Record
from keras_repro.report import environment_text
from keras_repro.report.paper.limitations import known_limitations
from keras_repro.report.paper.markdown import Code
from keras_repro.report.paper.run_summary import RunSummary
from keras_repro.utils.untrusted_json import as_mapping, as_mappings, as_sequence

Line = str | tuple[str, ...] | None

_MOST_DATA = 20
_MODES = {
    "observed": "observed: the script ran unchanged and was only recorded",
    "enforced": "enforced: all switches were pinned before Python started",
}
# The metrics that readers look for, the best first; validation before training.
_HEADLINES = ("accuracy", "acc", "auc", "mae", "mse", "loss")
_LOCALE = ("LANG", "TZ", "LC_")


def page_of(run: RunSummary) -> dict[str, Any]:
    """Return the content of a page.

    Returns:
        `name`, `status`, `mode`, `fingerprint`; `information`, lines by name; `reproduce`, the steps;
        `results`, each `{"where", "metric", "value"}`; `limitations`; `switches`, each `{"name",
        "requested", "achieved", "status"}`; `requirements`, lines for pip.
    """
    header = run.header
    environment = as_mapping(header.get("environment"))
    return {
        "name": run.name,
        "status": run.status,
        "mode": header.get("mode"),
        "fingerprint": run.fingerprint and Code(run.fingerprint),
        "information": _information(run, header, environment),
        "reproduce": _steps(run, header, environment),
        "results": [
            {"where": where, "metric": metric, "value": value}
            for where, metrics in run.results.items()
            for metric, value in metrics.items()
        ],
        "limitations": known_limitations(
            header,
            status=run.status,
            fits=run.fits,
            random_operations=sorted(run.random_operations),
            not_portable=run.not_portable,
            notes=run.notes,
        ),
        "switches": [_switch(s) for s in as_mappings(header.get("switches"))],
        "requirements": _requirements(environment),
    }


def _information(
    run: RunSummary, header: Mapping[str, Any], environment: Mapping[str, Any]
) -> dict[str, Line]:
    versions = environment_text.versions(environment)
    covers = "; ".join(COVERAGE[c] for c in str(header.get("coverage")) if c in COVERAGE)
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
        "Recorded": header.get("created") or None,
        "Wall Time": _wall_time(run),
        "Mode": _MODES.get(str(header.get("mode")), header.get("mode")),
        "Determinism": _determinism(run, header),
        "Status": run.status,
        "Fingerprint": (Code(run.fingerprint),) if run.fingerprint else None,
        "What the Fingerprint Covers": covers or None,
        "BLAKE3 of the Whole Ledger": (Code(run.digest),),
    }


def _determinism(run: RunSummary, header: Mapping[str, Any]) -> str | None:
    """Return the level of determinism: for portable runs, as far as the training steps were checked."""
    level = header.get("determinism")
    if level != "portable":
        return "bitwise: on this CPU model and with these switches" if level == "bitwise" else None
    levels = "; ".join(dict.fromkeys(run.portability))
    return levels or "portable was requested; no training step was checked"


def _steps(run: RunSummary, header: Mapping[str, Any], environment: Mapping[str, Any]) -> list[Line]:
    seeds, command = _seeds(run), _command(header, environment)
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
    if run.fingerprint and run.status == "finished":
        steps.append(("Expected fingerprint: ", Code(run.fingerprint), *_where_printed(header, command)))
    return steps


def _where_printed(header: Mapping[str, Any], command: Line) -> tuple[str, ...]:
    if "r" not in str(header.get("coverage")) or command is None:
        return ()
    if header.get("mode") == "enforced":
        return (", as that command prints it",)
    return (", as ", Code("keras-repro verify"), " prints it for the same script and arguments")


def _seed(run: RunSummary) -> str | None:
    if seeds := _seeds(run):
        return ", then ".join(seeds)
    known = [as_mapping(r.extra.get("seeds_set")) for r in run.fits]
    return "none was set" if known and all("keras" in s for s in known) else None


def _seeds(run: RunSummary) -> list[str]:
    """Return the seeds in the order in which they were set, each once."""
    pinned = run.header.get("seed")
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
    epochs = f"{run.epochs} epoch{'s' if run.epochs != 1 else ''}"
    return f"{run.seconds:.1f} s of training in {epochs}{fits}"


def _command(header: Mapping[str, Any], environment: Mapping[str, Any]) -> Line:
    """Return the command that runs it again, with its environment variables."""
    command = as_mapping(header.get("command"))
    # Pages are published: never name folders of this machine.
    script = str(command.get("script") or "")
    script = PurePath(script).name if PurePath(script).is_absolute() else script
    what = ["-m", command["module"]] if command.get("module") else [script]
    if not what[-1]:
        return None
    words = [*what, *as_sequence(command.get("arguments"))]
    policies = as_mapping(header.get("policies"))
    if header.get("mode") == "enforced":
        start = ["keras-repro", "run", "--pin-seed", header.get("seed")]
        if header.get("determinism") == "portable":
            start += ["--portable", *_threads(header)]
        for name in ("max_epochs", "max_steps"):
            if policies.get(name) is not None:
                start += [f"--{name.replace('_', '-')}", policies[name]]
    else:
        variables = as_mapping(environment.get("variables"))
        start = [f"{n}={v}" for n, v in variables.items() if not n.startswith(_LOCALE)]
        start.append("python")
    line = Code(" ".join(_quoted(w) for w in [*start, *words]))
    hidden = command.get("hidden")
    return (line, f" ({hidden} arguments are not published)") if hidden else (line,)


def _threads(header: Mapping[str, Any]) -> list[str]:
    """Return the threads option of a portable run; empty for the default."""
    readings = as_mappings(header.get("switches"))
    threads = next((r.get("requested") for r in readings if r.get("name") == "intra_op_threads"), 1)
    return [] if threads in (None, 1) else ["--threads", str(threads)]


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


def _switch(reading: Mapping[str, Any]) -> dict[str, str]:
    ok, requested, achieved = (reading.get(k) for k in ("ok", "requested", "achieved"))
    return {
        "name": str(reading.get("name")),
        "requested": environment_text.switch_value(requested),
        "achieved": environment_text.switch_value(achieved),
        "status": environment_text.switch_status(ok if isinstance(ok, bool) else None, achieved),
    }


def _requirements(environment: Mapping[str, Any]) -> list[str]:
    """Return lines for pip; a comment replaces a name or version that no package can have."""
    lines = []
    for name, version in sorted(as_mapping(environment.get("packages")).items()):
        line = f"{name}=={version}"
        if not _is_requirement(line):
            line = "# (an entry that is not a package)"
        elif name == "keras-repro":
            line = f"# {line} recorded this run; the training does not need it"
        lines.append(line)
    return lines


def _is_requirement(line: str) -> bool:
    return line.isascii() and all(c.isalnum() or c in "._+!=-" for c in line)
