"""The "Reproducibility Information" page of recorded runs, in Markdown.

    render_report([Path("runs/a")])         # one run
    render_report([Path("runs/a"), ...])    # several: a section each, and whether they agree

Each line is filled in from the ledger or says "not recorded"; metrics stand there to the last bit. What
the ledger says is text that anyone may have written: it is escaped as it is put in.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from keras_repro.errors import ReproError
from keras_repro.present import facts
from keras_repro.present.limitations import known_limitations
from keras_repro.present.markdown import Markdown, code, escaped
from keras_repro.present.summary import Summary, summarize
from keras_repro.record.ledger import read_ledger
from keras_repro.record.schema import COVERAGE, Record

_MOST_RESULTS = 100
_MODES = {
    "observed": "observed: run as it is, only recorded",
    "enforced": "enforced: every switch pinned before Python starts",
}
# What a page is read for, the best first; a metric of the test part before one of training.
_HEADLINES = ("accuracy", "acc", "auc", "mae", "mse", "loss")
_LOCALE = ("LANG", "TZ", "LC_")


def render_report(runs: Sequence[Path]) -> str:
    """Writes the page.

    Args:
        runs: run folders, or ledgers.

    Raises:
        LedgerError: one of them cannot be read.
        ReproError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise ReproError(
            "a report needs jinja2; install it with: pip install 'keras_repro[report]'"
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_repro.present"),
        # The text is Markdown: `finalize` escapes for both it and HTML.
        autoescape=False,
        finalize=escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    summaries = [summarize(read_ledger(run)) for run in runs]
    pages = [_page(s) for s in summaries]
    template = environment.get_template("report.md.j2")
    return template.render(runs=pages, verdict=_verdict(summaries)).strip() + "\n"


def _page(run: Summary) -> dict[str, Any]:
    """What the template fills in, by name."""
    header = run.header
    environment = facts.part(header, "environment")
    expected = _headline(run.results)
    results = [
        {"where": where, "metric": metric, "value": _exact(value)}
        for where, metrics in run.results.items()
        for metric, value in metrics.items()
    ]
    return {
        "name": run.name,
        "seed": _seed(run),
        "tensorflow": facts.tensorflow_version(environment) or facts.NOT_RECORDED,
        "keras": facts.keras_version(environment) or facts.NOT_RECORDED,
        "python": facts.part(environment, "python").get("version") or facts.NOT_RECORDED,
        "hardware": "; ".join(facts.hardware(environment)) or facts.NOT_RECORDED,
        "cuda": _gpu_library(environment, "nvidia-cuda-runtime"),
        "cudnn": _gpu_library(environment, "nvidia-cudnn"),
        "system": facts.system(environment) or facts.NOT_RECORDED,
        "source": _source(facts.part(environment, "git")),
        "data": _data(run.fits),
        "created": header.get("created") or facts.NOT_RECORDED,
        "wall_time": _wall_time(run),
        "mode": header.get("mode"),
        "mode_meaning": _MODES.get(str(header.get("mode")), header.get("mode")),
        "status": run.status,
        "fingerprint": code(run.fingerprint) if run.fingerprint else facts.NOT_RECORDED,
        "covers": "; ".join(COVERAGE[c] for c in str(header.get("coverage")) if c in COVERAGE),
        "digest": code(run.digest),
        "command": _command(header, environment),
        "expected_name": expected[0],
        "expected_value": expected[1],
        "results": results[:_MOST_RESULTS],
        "results_left_out": max(0, len(results) - _MOST_RESULTS),
        "limitations": known_limitations(
            header,
            status=run.status,
            fits=run.fits,
            random_operations=sorted(run.random_operations),
            notes=run.notes,
        ),
        "switches": [_switch(s) for s in header.get("switches") or () if isinstance(s, Mapping)],
        "requirements": _requirements(environment),
    }


def _seed(run: Summary) -> str:
    pinned = run.header.get("seed")
    seeds: dict[str, None] = {} if pinned is None else {str(pinned): None}
    for record in run.fits:
        found = facts.part(record.extra, "seeds_set")
        if found.get("keras") is not None and found["keras"] != pinned:
            seeds[f"{found['keras']} (keras.utils.set_random_seed)"] = None
        elif found.get("keras") is not None:
            continue
        elif found.get("tensorflow") is not None:
            seeds[f"{found['tensorflow']} (tf.random.set_seed alone)"] = None
    return ", then ".join(seeds) or facts.NOT_RECORDED


def _gpu_library(environment: Mapping[str, Any], name: str) -> str:
    if facts.gpus(environment) == []:
        return "not used (no GPU)"
    names = (name, *(f"{name}-cu{major}" for major in (13, 12, 11)))
    return facts.package_version(environment, *names) or facts.NOT_RECORDED


def _source(git: Mapping[str, Any]) -> Markdown:
    if not git.get("commit"):
        return escaped(facts.NOT_RECORDED)
    dirty = ", with uncommitted changes" if git.get("dirty") else ""
    return Markdown(f"git commit {code(git['commit'])}{dirty}")


def _data(fits: Sequence[Record]) -> Markdown:
    texts: dict[str, None] = {}
    for record in fits:
        data = facts.part(record.extra, "data")
        if data.get("digest"):
            text = f"{escaped(data.get('samples', '?'))} samples, digest {code(data['digest'])}"
            texts[text] = None
        elif data.get("kind"):
            texts[f"{escaped(data['kind'])}, digest not recorded"] = None
    return Markdown("; ".join(list(texts)[:20])) if texts else escaped(facts.NOT_RECORDED)


def _wall_time(run: Summary) -> str:
    if run.seconds is None:
        return facts.NOT_RECORDED
    fits = f" of {len(run.fits)} fits" if len(run.fits) > 1 else ""
    epochs = f"{run.epochs} epoch{'s' if run.epochs != 1 else ''}"
    return f"{run.seconds:.1f} s of training in {epochs}{fits}"


def _command(header: Mapping[str, Any], environment: Mapping[str, Any]) -> Markdown:
    """The line that starts it again, with the variables that were set for it."""
    command = facts.part(header, "command")
    # A page is published: it names no folder of this machine.
    script = str(command.get("script") or "")
    script = PurePath(script).name if PurePath(script).is_absolute() else script
    what = ["-m", command["module"]] if command.get("module") else [script]
    if not what[-1]:
        return escaped(facts.NOT_RECORDED)
    arguments = command.get("arguments")
    words = [*what, *(arguments if isinstance(arguments, list) else ())]
    policies = facts.part(header, "policies")
    if header.get("mode") == "enforced":
        start = ["keras-repro", "run", "--pin-seed", header.get("seed")]
        for name in ("max_epochs", "max_steps"):
            if policies.get(name) is not None:
                start += [f"--{name.replace('_', '-')}", policies[name]]
    else:
        variables = facts.part(environment, "variables")
        start = [f"{n}={v}" for n, v in variables.items() if not n.startswith(_LOCALE)]
        start.append("python")
    line = code(" ".join(_quoted(w) for w in [*start, *words]))
    hidden = command.get("hidden")
    return Markdown(f"{line} ({escaped(hidden)} arguments are not published)") if hidden else line


def _quoted(word: object) -> str:
    name, equals, value = str(word).partition("=")
    return f"{name}={shlex.quote(value)}" if equals and name.isidentifier() else shlex.quote(str(word))


def _headline(results: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """The metric that a reader looks for: of the last evaluation, else of the last epoch."""
    for where, metrics in reversed(list(results.items())):
        validation = {n.removeprefix("val_"): n for n in metrics if n.startswith("val_")}
        for wanted in _HEADLINES:
            names = [validation.get(wanted), wanted, *(n for n in metrics if n.endswith(f"_{wanted}"))]
            for name in names:
                if name in metrics:
                    return str(name), f"{_exact(metrics[name])} ({where})"
    return "accuracy", facts.NOT_RECORDED


def _exact(value: Any) -> str:
    """Every digit that tells one value from the next."""
    return repr(value) if isinstance(value, float) else str(value)


def _switch(reading: Mapping[str, Any]) -> dict[str, str]:
    ok, requested, achieved = (reading.get(k) for k in ("ok", "requested", "achieved"))
    return {
        "name": str(reading.get("name")),
        "requested": facts.switch_value(requested),
        "achieved": facts.switch_value(achieved),
        "status": facts.switch_status(ok if isinstance(ok, bool) else None, requested, achieved),
    }


def _requirements(environment: Mapping[str, Any]) -> list[Markdown]:
    """Lines for pip; a name or version that no package can have is left out, and said to be."""
    lines = []
    for name, version in sorted(facts.part(environment, "packages").items()):
        line = f"{name}=={version}"
        if _is_requirement(line):
            lines.append(Markdown(line))
        else:
            lines.append(Markdown("# (an entry that is no package)"))
    return lines


def _is_requirement(line: str) -> bool:
    return line.isascii() and all(c.isalnum() or c in "._+!=-" for c in line)


def _verdict(runs: Sequence[Summary]) -> str:
    """Whether the fingerprints agree, and never more than they say."""
    count = len(runs)
    if len({r.digest for r in runs}) < count:
        return "Some of these are one and the same ledger: they say nothing about repeating."
    if len({r.header.get("mode") for r in runs}) > 1:
        return "Observed and enforced runs are different trainings: they are not compared."
    if len({r.header.get("coverage") for r in runs}) > 1:
        return "The fingerprints cover different things: they are not compared."
    if any(r.status != "finished" or not r.fingerprint for r in runs):
        return "Not all of these runs finished: their fingerprints are partial and not compared."
    if len({r.fingerprint for r in runs}) == 1:
        return f"The fingerprints of all {count} runs agree: to the bit, in all that they cover."
    return "The fingerprints differ: keras-repro compare says where the runs parted."
