"""Differences between the environment of a recorded run and this one, and what they imply.

    spec = read_run_spec(open_ledger("runs/a"))
    [d.what for d in environment_diff(spec, variables={})]      # ['package scikit-learn', 'CPU']

They are found before anything is run, and without importing anything.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from keras_repro.provenance.environment import gather
from keras_repro.provenance.input_files import changed_files, file_digest, roots
from keras_repro.provenance.module_lookup import is_there
from keras_repro.utils.untrusted_json import as_mapping, as_sequence
from keras_repro.workflows.reproduce.run_spec import RunSpec

# Packages that compute, and packages that prepare data: another version of these may change bits.
_FRAMEWORKS = ("tensorflow", "keras", "tf-keras", "jax", "torch")
_BUILDS = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tensorflow-rocm")
_NUMERICAL = ("numpy", "h5py", "ml-dtypes", "scipy", "scikit-learn", "pandas", "pillow", "opencv-python")
_WIDE = ("avx512f", "avx2", "fma", "avx", "amx_tile", "asimd", "sve")
_MOST_FILES = 5

NOT_SET = "not set"

Kind = Literal["missing", "changed", "differs", "left", "pinned"]


@dataclass(frozen=True)
class EnvironmentDifference:
    """One difference between the recorded environment and this one.

    Attributes:
        what: the thing that differs.
        then: its recorded value.
        here: its value here.
        implies: what that means for the run.
        kind: `"missing"` (it cannot be run), `"changed"` (the code is not the recorded one), `"differs"`,
            `"left"` (a setting that stays as it is here), or `"pinned"` (one that is set as recorded).
    """

    what: str
    then: str
    here: str
    implies: str
    kind: Kind = "differs"

    def to_dict(self) -> dict[str, str]:
        """Return the machine form."""
        return asdict(self)


def environment_diff(
    spec: RunSpec, *, variables: Mapping[str, str | None] | None
) -> tuple[EnvironmentDifference, ...]:
    """List the differences, missing things first.

    Args:
        spec: of the recorded run.
        variables: the variables that the new run sets, None for those that it removes; None if all stay as
            they are.
    """
    here = gather(Path.cwd() if spec.file is None else spec.file.resolve().parent)
    differences = [
        *_script(spec),
        *_imports(spec),
        *_inputs(spec),
        *_gpu(spec, here),
        *_packages(spec, here),
        *_cpu(spec, here),
        *_system(spec, here),
        *_git(spec, here),
        *_variables(spec, variables),
    ]
    return tuple(sorted(differences, key=lambda d: get_args(Kind).index(d.kind)))


def _difference(
    what: str, then_and_here: Iterable[str], implies: str, kind: Kind = "differs"
) -> EnvironmentDifference:
    then, here = then_and_here
    return EnvironmentDifference(what, then, here, implies, kind)


def _script(spec: RunSpec) -> Iterator[EnvironmentDifference]:
    path = spec.file
    name = spec.script or f"module {spec.module}"
    if path is None:
        if spec.script is not None or not is_there(str(spec.module)):
            fix = "change to the folder in which it was started, or give its path with --script"
            yield EnvironmentDifference(name, "recorded", "not in this folder", fix, "missing")
    elif spec.code is None:
        implies = "it may be another version"
        yield EnvironmentDifference(name, "no digest recorded", "found", implies, "changed")
    elif (digest := file_digest(path)) != spec.code:
        commit = as_mapping(spec.environment.get("git")).get("commit")
        fix = f"git checkout {str(commit)[:12]}" if commit else "restore the recorded version"
        digests = [f"digest {str(d)[:12]}" for d in (spec.code, digest)]
        yield _difference(name, digests, fix, "changed")


def _imports(spec: RunSpec) -> Iterator[EnvironmentDifference]:
    for name in _imported(spec.file):
        if not is_there(name, spec.file.resolve().parent if spec.file else "."):
            values = "imported", "not installed"
            yield _difference(f"package {name}", values, "install it", "missing")


def _imported(path: Path | None) -> list[str]:
    """Return the top names of a script's unconditional imports: not in a function, not in a `try`."""
    try:
        tree = ast.parse(path.read_bytes() if path is not None else b"")
    except (OSError, SyntaxError, ValueError):
        return []
    names: list[str] = []
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            names += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            names.append(statement.module)
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _inputs(spec: RunSpec) -> Iterator[EnvironmentDifference]:
    if not spec.inputs and spec.of_whole_script:
        then = "not recorded: the run did not finish"
        yield EnvironmentDifference("input files", then, "", "they are not compared")
    may_diverge = "the training may diverge"
    changed = changed_files(spec.inputs, roots(spec.file))
    for file in changed[:_MOST_FILES]:
        size, size_here = (f"{b:,} bytes" if b is not None else "not here" for b in file.bytes)
        values = size, size_here if size != size_here else "other content"
        name = f"{'code' if file.is_code else 'data'} {file.path}"
        if file.missing:
            yield _difference(name, values, "restore it", "missing")
        elif file.is_code:
            yield _difference(name, values, "restore the recorded version", "changed")
        else:
            yield _difference(name, values, may_diverge)
    if further := changed[_MOST_FILES:]:
        kind: Kind = "missing" if any(f.missing for f in further) else "differs"
        values = "read", "other content or missing"
        yield _difference(f"{len(further)} more files", values, may_diverge, kind)


def _gpu(spec: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (
        [str(as_mapping(gpu).get("model"))[:40] for gpu in as_sequence(e.get("gpu"))]
        for e in (spec.environment, here)
    )
    used = spec.switches.get("tf32") not in (None, "no GPU")
    if then and not now and used:
        fix = "run it on a machine with a GPU"
        yield EnvironmentDifference("GPU", ", ".join(then), "none", fix, "missing")
    elif then != now and (used or now):
        models = (", ".join(m) or "none" for m in (then, now))
        yield _difference("GPU", models, "kernels may differ: expect grade ulp or different")


def _packages(spec: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (_with_one_tensorflow(e.get("packages")) for e in (spec.environment, here))
    if not then:
        return
    imported = _distributions(_imported(spec.file))
    others = 0
    for name in sorted(then.keys() | now.keys()):
        versions = [str(p[name])[:20] if name in p else "none" for p in (then, now)]
        if versions[0] == versions[1]:
            continue
        if name in _FRAMEWORKS:
            implies = "other kernels: expect grade ulp or different"
        elif name in _NUMERICAL or name in imported:
            implies = "it may prepare the data differently"
        else:
            others += 1
            continue
        yield _difference(f"package {name}", versions, implies)
    if others:
        values = f"{len(then)} recorded", f"{others} differ"
        yield _difference("other packages", values, "usually none")
    versions = [str(as_mapping(e.get("python")).get("version")) for e in (spec.environment, here)]
    if versions[0] != versions[1]:
        yield EnvironmentDifference("Python", versions[0][:20], versions[1], "usually none")


def _with_one_tensorflow(packages: Any) -> dict[str, Any]:
    """Return the packages, with one name for every build of TensorFlow."""
    versions = dict(as_mapping(packages))
    builds = [versions.pop(name) for name in _BUILDS if name in versions]
    return versions | ({"tensorflow": builds[0]} if builds else {})


def _distributions(modules: list[str]) -> set[str]:
    from importlib.metadata import packages_distributions

    known = packages_distributions()
    return {d.lower().replace("_", "-") for m in modules for d in known.get(m, ())}


def _cpu(spec: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (as_mapping(e.get("cpu")) for e in (spec.environment, here))
    if not then:
        return
    flags = [{str(f) for f in as_sequence(c.get("flags"))} for c in (then, now)]
    lost, gained = ([f for f in _WIDE if f in a - b] for a, b in (flags, flags[::-1]))
    names = [str(c.get("model"))[:40] for c in (then, now)]
    same_model = all(then.get(n) == now.get(n) for n in ("model", "vendor", "family_model_stepping"))
    if flags[0] != flags[1] or not same_model:
        if spec.portability is not None:
            implies = "the run is portable: expect grade bitwise"
        elif lost:
            implies = f"this CPU lacks {_flag_text(lost[0])}: expect grade ulp"
        elif gained:
            implies = f"this CPU has {_flag_text(gained[0])}, the recorded one has not: expect grade ulp"
        else:
            implies = "its approximate instructions may differ: expect grade ulp"
        yield _difference("CPU", names, implies)
    counts = [c.get("available") for c in (then, now)]
    if counts[0] != counts[1]:
        pinned = "intra_op_threads" in spec.switches
        implies = "the number of threads is set as recorded" if pinned else "expect grade ulp"
        yield _difference("CPUs to use", map(str, counts), implies)


def _flag_text(flag: str) -> str:
    return {"avx512f": "AVX-512", "amx_tile": "AMX"}.get(flag, flag.upper())


def _system(spec: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (as_mapping(e.get("os")) for e in (spec.environment, here))
    for name, what in (("system", "operating system"), ("machine", "architecture"), ("libc", "C library")):
        values = [str(o.get(name))[:40] for o in (then, now)]
        if then and values[0] != values[1]:
            implies = "usually none" if name == "libc" else "expect grade ulp or different"
            yield _difference(what, values, implies)


def _git(spec: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (as_mapping(e.get("git")) for e in (spec.environment, here))
    commits = [str(g.get("commit") or "none")[:12] for g in (then, now)]
    if then.get("commit") and commits[0] != commits[1]:
        yield _difference("git commit", commits, "none if script and data are the same")
    elif then.get("dirty"):
        values = f"{commits[0]} with changes", commits[1]
        yield _difference("git commit", values, "the changes are not in the commit")


def _variables(spec: RunSpec, variables: Mapping[str, str | None] | None) -> Iterator[EnvironmentDifference]:
    for name in spec.withheld:
        here = "set" if name in os.environ else NOT_SET
        yield EnvironmentDifference(f"variable {name}", "not published in full", here, "set it as it was")
    recorded: Mapping[str, str | None] = spec.variables if variables is None else variables
    for name, value in sorted(recorded.items()):
        present = os.environ.get(name)
        if present != value:
            values = [NOT_SET if v is None else v[:60] for v in (value, present)]
            if variables is None:
                yield _difference(name, values, "left as it is here", "left")
            else:
                yield _difference(name, values, "set as recorded", "pinned")
    if spec.switches.get("hash_seed") == "random":
        implies = "not reproducible if the order of a set matters"
        yield EnvironmentDifference("hash seed", "random, not recorded", "", implies)
