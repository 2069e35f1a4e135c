"""What differs between the surroundings of a recorded run and those here, and what that implies.

    [f.what for f in findings(read_run_spec("runs/a"), pins={})]     # ['package scikit-learn', 'CPU']

Told before anything is run. Nothing is imported to find it out.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from keras_repro.provenance.environment import code_digest, gather
from keras_repro.provenance.input_files import differing, roots
from keras_repro.provenance.module_lookup import is_there
from keras_repro.utils.untrusted_json import as_mapping, as_sequence
from keras_repro.workflows.reproduce.run_spec import RunSpec, file_of

# What computes, and what prepares data: another version of these may change bits.
_FRAMEWORKS = ("tensorflow", "keras", "tf-keras", "jax", "torch")
_BUILDS = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tensorflow-rocm")
_NUMERICAL = ("numpy", "h5py", "ml-dtypes", "scipy", "scikit-learn", "pandas", "pillow", "opencv-python")
_WIDE = ("avx512f", "avx2", "fma", "avx", "amx_tile", "asimd", "sve")
_MOST_FILES = 5

NOT_SET = "not set"


Kind = Literal["missing", "changed", "differs", "left", "pinned"]


@dataclass(frozen=True)
class EnvironmentDifference:
    """One thing that is not here as it was there.

    Attributes:
        what: the thing.
        then: how it was.
        here: how it is.
        implies: what that means for the run.
        kind: `"missing"` (it cannot be run), `"changed"` (what is run is not what was recorded),
            `"differs"`, `"left"` (a setting that stays as it is here), or `"pinned"` (one that is set as it
            was).
    """

    what: str
    then: str
    here: str
    implies: str
    kind: Kind = "differs"

    def to_dict(self) -> dict[str, str]:
        """The machine form."""
        return dict(vars(self))


def findings(recipe: RunSpec, *, pins: Mapping[str, str | None] | None) -> tuple[EnvironmentDifference, ...]:
    """Lists what differs here, what is missing first.

    Args:
        recipe: of the recorded run.
        pins: the variables that will be set for the new run, None for those that will be taken away; None
            where all stay as they are.
    """
    here = gather(_folder(recipe))
    found = [
        *_script(recipe),
        *_imports(recipe),
        *_inputs(recipe),
        *_gpu(recipe, here),
        *_packages(recipe, here),
        *_cpu(recipe, here),
        *_system(recipe, here),
        *_git(recipe, here),
        *_variables(recipe, pins),
    ]
    order = ("missing", "changed", "differs", "left", "pinned")
    return tuple(sorted(found, key=lambda f: order.index(f.kind)))


def _finding(what: str, both: Iterable[str], implies: str, kind: Kind = "differs") -> EnvironmentDifference:
    then, here = both
    return EnvironmentDifference(what, then, here, implies, kind)


def _folder(recipe: RunSpec) -> Path:
    path = file_of(recipe)
    return Path.cwd() if path is None else path.resolve().parent


def _script(recipe: RunSpec) -> Iterator[EnvironmentDifference]:
    path = file_of(recipe)
    name = recipe.script or f"module {recipe.module}"
    if path is None and (recipe.script is not None or not is_there(str(recipe.module))):
        where = "go to the folder that it was started in, or name it with --script"
        yield EnvironmentDifference(name, "there", "not in this folder", where, "missing")
    elif path is not None and recipe.code is None:
        yield EnvironmentDifference(
            name, "no digest recorded", "there", "it may be another version", "changed"
        )
    elif path is not None and (digest := code_digest(path)) != recipe.code:
        there = as_mapping(recipe.environment.get("git")).get("commit")
        back = f"git checkout {str(there)[:12]}" if there else "put the recorded version back"
        digests = [f"digest {str(d)[:12]}" for d in (recipe.code, digest)]
        yield _finding(name, digests, back, "changed")


def _imports(recipe: RunSpec) -> Iterator[EnvironmentDifference]:
    path = file_of(recipe)
    if path is None:
        return
    for name in _imported(path):
        if name not in sys.stdlib_module_names and not is_there(name, path.resolve().parent):
            yield EnvironmentDifference(
                f"package {name}", "imported", "not installed", "install it", "missing"
            )


def _imported(path: Path) -> list[str]:
    """The top names of what a script imports in any case: not in a function, not in a `try`."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    names: dict[str, None] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            names.update(dict.fromkeys(a.name.partition(".")[0] for a in statement.names))
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            names[statement.module.partition(".")[0]] = None
    return list(names)


def _inputs(recipe: RunSpec) -> Iterator[EnvironmentDifference]:
    if not recipe.inputs and recipe.of_whole_script:
        then = "not recorded: the run did not come to its end"
        yield EnvironmentDifference("files that it read", then, "", "they are not compared", "differs")
    changed = differing(recipe.inputs, roots(file_of(recipe)))
    for file in changed[:_MOST_FILES]:
        size, size_here = (f"{b:,} bytes" if b is not None else "" for b in file.bytes)
        what = "code" if file.path.endswith(".py") else "data"
        if file.missing:
            yield EnvironmentDifference(f"{what} {file.path}", size, "not here", "put it back", "missing")
            continue
        here = size_here if size != size_here else "other content"
        implies = "put the recorded version back" if what == "code" else "the training may part from it"
        yield EnvironmentDifference(
            f"{what} {file.path}", size, here, implies, "changed" if what == "code" else "differs"
        )
    if len(changed) > _MOST_FILES:
        more = f"{len(changed) - _MOST_FILES} more files"
        kind: Any = "missing" if any(f.missing for f in changed[_MOST_FILES:]) else "differs"
        yield EnvironmentDifference(
            more, "read", "other content or missing", "the training may part from it", kind
        )


def _gpu(recipe: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (_models(e.get("gpu")) for e in (recipe.environment, here))
    used = recipe.switches.get("tf32") not in (None, "no GPU")
    if then and not now and used:
        yield EnvironmentDifference(
            "GPU", ", ".join(then), "none", "run it on a machine with a GPU", "missing"
        )
    elif then != now and (used or now):
        shown = (", ".join(models) or "none" for models in (then, now))
        yield _finding("GPU", shown, "kernels may differ: expect grade ulp or different")


def _models(gpus: Any) -> list[str]:
    return [str(as_mapping(g).get("model"))[:40] for g in as_sequence(gpus)]


def _packages(recipe: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (_with_one_tensorflow(e.get("packages")) for e in (recipe.environment, here))
    if not then:
        return
    path = file_of(recipe)
    imported = _distributions(_imported(path)) if path is not None else set()
    others = 0
    for name in sorted(then.keys() | now.keys()):
        versions = [str(p[name])[:20] if name in p else "none" for p in (then, now)]
        if versions[0] == versions[1]:
            continue
        if name in _FRAMEWORKS:
            yield _finding(f"package {name}", versions, "other kernels: expect grade ulp or different")
        elif name in _NUMERICAL or name in imported:
            yield _finding(f"package {name}", versions, "it may prepare the data otherwise")
        else:
            others += 1
    if others:
        yield EnvironmentDifference(
            "other packages", f"{len(then)} recorded", f"{others} differ", "usually none"
        )
    versions = [str(as_mapping(e.get("python")).get("version")) for e in (recipe.environment, here)]
    if versions[0] != versions[1]:
        yield EnvironmentDifference("Python", versions[0][:20], versions[1], "usually none")


def _with_one_tensorflow(packages: Any) -> dict[str, Any]:
    """The packages, whichever build of TensorFlow is among them called by one name."""
    found = dict(as_mapping(packages))
    builds = [found.pop(name) for name in _BUILDS if name in found]
    return found | ({"tensorflow": builds[0]} if builds else {})


def _distributions(modules: list[str]) -> set[str]:
    from importlib.metadata import packages_distributions

    known = packages_distributions()
    return {d.lower().replace("_", "-") for m in modules for d in known.get(m, ())}


def _cpu(recipe: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (as_mapping(e.get("cpu")) for e in (recipe.environment, here))
    if not then:
        return
    flags = [{str(f) for f in as_sequence(c.get("flags"))} for c in (then, now)]
    lost, gained = ([f for f in _WIDE if f in a - b] for a, b in (flags, flags[::-1]))
    names = [str(c.get("model"))[:40] for c in (then, now)]
    model = any(then.get(n) != now.get(n) for n in ("model", "vendor", "family_model_stepping"))
    if recipe.portability is not None and (lost or gained or model or flags[0] != flags[1]):
        yield _finding("CPU", names, "the run is portable: expect grade bitwise")
    elif lost:
        yield _finding("CPU", names, f"this CPU has no {_spoken(lost[0])}: expect grade ulp")
    elif gained:
        yield _finding("CPU", names, f"this CPU has {_spoken(gained[0])}, that had not: expect grade ulp")
    elif model or flags[0] != flags[1]:
        yield _finding("CPU", names, "its approximate instructions may differ: expect grade ulp")
    counts = [c.get("available") for c in (then, now)]
    if counts[0] != counts[1]:
        known = "intra_op_threads" in recipe.switches
        implies = "the number of threads is set as it was" if known else "expect grade ulp"
        yield _finding("CPUs to use", map(str, counts), implies)


def _spoken(flag: str) -> str:
    return {"avx512f": "AVX-512", "amx_tile": "AMX"}.get(flag, flag.upper())


def _system(recipe: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (as_mapping(e.get("os")) for e in (recipe.environment, here))
    for name, what in (("system", "operating system"), ("machine", "architecture"), ("libc", "C library")):
        values = [str(o.get(name))[:40] for o in (then, now)]
        if then and values[0] != values[1]:
            implies = "usually none" if name == "libc" else "expect grade ulp or different"
            yield _finding(what, values, implies)


def _git(recipe: RunSpec, here: Mapping[str, Any]) -> Iterator[EnvironmentDifference]:
    then, now = (as_mapping(e.get("git")) for e in (recipe.environment, here))
    commits = [str(g.get("commit") or "none")[:12] for g in (then, now)]
    if then.get("commit") and commits[0] != commits[1]:
        yield _finding("git commit", commits, "none where script and data are the same")
    elif then.get("dirty"):
        yield EnvironmentDifference(
            "git commit", f"{commits[0]} with changes", commits[1], "the changes are not in the commit"
        )


def _variables(recipe: RunSpec, pins: Mapping[str, str | None] | None) -> Iterator[EnvironmentDifference]:
    for name in recipe.withheld:
        here = "set" if name in os.environ else "not set"
        yield EnvironmentDifference(f"variable {name}", "not published in full", here, "set it as it was")
    before: Mapping[str, str | None] = recipe.variables if pins is None else pins
    for name, value in sorted(before.items()):
        present = os.environ.get(name)
        if present != value:
            values = [NOT_SET if v is None else v[:60] for v in (value, present)]
            if pins is None:
                yield _finding(name, values, "left as it is here", "left")
            else:
                yield _finding(name, values, "set as it was", "pinned")
    if recipe.switches.get("hash_seed") == "random":
        yield EnvironmentDifference(
            "hash seed", "random, not recorded", "", "where the order of a set matters, it will not repeat"
        )
