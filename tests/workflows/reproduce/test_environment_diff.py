"""What differs between the surroundings of a recorded run and those here, said before anything is run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ledger_builders
import pytest

from keras_repro.errors import LaunchError
from keras_repro.provenance.environment import VARIABLES, code_digest, gather
from keras_repro.provenance.input_files import describe, roots
from keras_repro.workflows.reproduce.environment_diff import EnvironmentDifference, findings
from keras_repro.workflows.reproduce.recorded_task import recorded_switches, recorded_variables
from keras_repro.workflows.reproduce.run_spec import RunSpec, read_run_spec

COMMAND = {"script": "train.py", "module": None, "arguments": ["--epochs", "3"], "hidden": 0}


@pytest.fixture
def recorded(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunSpec]:
    """A run of `train.py` on this machine, with changes of what was recorded of it."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (here / "train.py").write_text("import os\nimport numpy as np\n")

    def make(inputs: Any = None, **changes: Any) -> RunSpec:
        environment = gather() | {"code": code_digest("train.py")}
        for name, change in changes.pop("environment", {}).items():
            old = environment.get(name)
            both = isinstance(change, Mapping) and isinstance(old, Mapping)
            environment[name] = {**old, **change} if both else change
        header = {"command": COMMAND, "environment": environment, "coverage": "smr"} | changes
        last = ledger_builders.exit_record(inputs=inputs or {"files": [], "unnamed": 0})
        return read_run_spec(ledger_builders.write(here / "a", [*ledger_builders.training(), last], **header))

    return make


def found(recipe: RunSpec) -> list[EnvironmentDifference]:
    return list(findings(recipe, pins=recorded_variables(recipe)))


def test_nothing_differs_where_it_was_made(recorded: Callable[..., RunSpec]) -> None:
    assert found(recorded()) == []


def test_the_recipe_is_what_was_recorded(recorded: Callable[..., RunSpec]) -> None:
    recipe = recorded(policies={"max_epochs": 2, "max_steps": "x", "batch_size": 32})
    assert (recipe.command, recipe.hidden, recipe.seed) == ("train.py --epochs 3", 0, None)
    assert (dict(recipe.policies), recipe.of_whole_script) == ({"max_epochs": 2}, True)


NEWER_CPU = {"flags": ["avx", "avx2", "avx512f", "fma", "amx_tile"], "model": "A Large CPU", "available": 64}
DIFFERENCES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "an older TensorFlow": (
        {"environment": {"packages": {"tensorflow": "2.15.0"}}},
        [("package tensorflow", "other kernels: expect grade ulp or different")],
    ),
    "what the script imports": (
        {"environment": {"packages": {"numpy": "1.0"}}},
        [("package numpy", "it may prepare the data otherwise")],
    ),
    "packages that it does not import": (
        {"environment": {"packages": {"pytest": "0.1", "never-heard-of": "3"}}},
        [("other packages", "usually none")],
    ),
    "another Python": ({"environment": {"python": {"version": "3.12.1"}}}, [("Python", "usually none")]),
    "another operating system": (
        {"environment": {"os": {"system": "Darwin", "machine": "arm64"}}},
        [
            ("operating system", "expect grade ulp or different"),
            ("architecture", "expect grade ulp or different"),
        ],
    ),
    "a GPU that was used": (
        {
            "environment": {"gpu": [{"model": "Large GPU"}]},
            "switches": [{"name": "tf32", "achieved": False}],
        },
        [("GPU", "run it on a machine with a GPU")],
    ),
    "a GPU that was not used": (
        {
            "environment": {"gpu": [{"model": "Large GPU"}]},
            "switches": [{"name": "tf32", "achieved": "no GPU"}],
        },
        [],
    ),
    "another commit": (
        {"environment": {"git": {"commit": "c" * 40, "dirty": False}}},
        [("git commit", "none where script and data are the same")],
    ),
    "a hash seed that nobody knows": (
        {"switches": [{"name": "hash_seed", "achieved": "random"}]},
        [("hash seed", "where the order of a set matters, it will not repeat")],
    ),
    "a variable that was not published": (
        {"environment": {"variables": {"XLA_FLAGS": "<hidden>", "LD_PRELOAD": "x.so"}}},
        [("variable XLA_FLAGS", "set it as it was")],
    ),
    "what was set is set again": (
        {"environment": {"variables": {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2", "TZ": "Asia/Tokyo"}}},
        [("TF_XLA_FLAGS", "set as it was"), ("TZ", "set as it was")],
    ),
    "threads that were not set by a variable": (
        {"switches": [{"name": "intra_op_threads", "achieved": 3}, {"name": "onednn", "achieved": False}]},
        [("TF_ENABLE_ONEDNN_OPTS", "set as it was"), ("TF_NUM_INTRAOP_THREADS", "set as it was")],
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_is_said_with_what_it_implies(recorded: Callable[..., RunSpec], name: str) -> None:
    changes, expected = DIFFERENCES[name]
    assert [(f.what, f.implies) for f in found(recorded(**changes))] == expected


def test_instructions_that_this_cpu_lacks_are_named(recorded: Callable[..., RunSpec]) -> None:
    flags = [*gather()["cpu"]["flags"], "avx512f", "amx_tile", "sve"]
    lost = next(f for f in ("avx512f", "amx_tile", "sve") if f not in gather()["cpu"]["flags"])
    (finding, count) = found(recorded(environment={"cpu": NEWER_CPU | {"flags": flags}}))
    word = {"avx512f": "AVX-512", "amx_tile": "AMX", "sve": "SVE"}[lost]
    assert (finding.what, finding.implies) == ("CPU", f"this CPU has no {word}: expect grade ulp")
    assert (count.what, count.then) == ("CPUs to use", "64")
    assert count.implies == "expect grade ulp"


def test_another_build_of_the_same_tensorflow_is_no_difference(recorded: Callable[..., RunSpec]) -> None:
    packages = dict(gather()["packages"])
    name = next(n for n in ("tensorflow", "tensorflow-cpu") if n in packages)
    packages["tensorflow-macos"] = packages.pop(name)
    recipe = recorded()
    environment = {**recipe.environment, "packages": packages}
    assert found(RunSpec(**{**vars(recipe), "environment": environment})) == []


def test_another_script_stands_in_the_way(recorded: Callable[..., RunSpec], here: Path) -> None:
    recipe = recorded(environment={"git": {"commit": "c" * 40, "dirty": False}})
    (here / "train.py").write_text("import os\nimport numpy\n")
    first = found(recipe)[0]
    assert (first.what, first.kind, first.implies) == ("train.py", "changed", "git checkout cccccccccccc")
    (here / "train.py").unlink()
    first = found(recipe)[0]
    assert (first.what, first.kind, first.here) == ("train.py", "missing", "not in this folder")


def test_a_package_that_is_imported_in_any_case_must_be_there(
    recorded: Callable[..., RunSpec], here: Path
) -> None:
    (here / "beside.py").write_text("")
    (here / "train.py").write_text(
        "import beside\nimport no_such_package.part\nfrom no_such_other import x\n"
        "try:\n    import optional_one\nexcept ImportError:\n    pass\n"
    )
    missing = [f.what for f in found(recorded()) if f.kind == "missing"]
    assert missing == ["package no_such_package", "package no_such_other"]


def test_data_that_changed_is_told_from_data_that_is_gone(
    recorded: Callable[..., RunSpec], here: Path
) -> None:
    for name in ("x.npy", "y.npy", "own.py"):
        (here / name).write_bytes(b"\x00" * 4000)
    recipe = recorded(inputs=describe(["x.npy", "y.npy", "own.py"], roots("train.py")))
    assert found(recipe) == []
    (here / "x.npy").write_bytes(b"\x00" * 3999 + b"\x01")
    (here / "y.npy").unlink()
    (here / "own.py").write_bytes(b"")
    assert [(f.what, f.kind, f.then, f.here) for f in found(recipe)] == [
        ("data y.npy", "missing", "4,000 bytes", "not here"),
        ("code own.py", "changed", "4,000 bytes", "0 bytes"),
        ("data x.npy", "differs", "4,000 bytes", "other content"),
    ]


def test_variables_of_this_machine_alone_are_taken_away(
    recorded: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recorded()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("MY_OWN", "1")
    assert recorded_variables(recipe) == {"ONEDNN_MAX_CPU_ISA": None}
    assert [(f.what, f.kind, f.then, f.here) for f in found(recipe)] == [
        ("ONEDNN_MAX_CPU_ISA", "pinned", "not set", "SSE41")
    ]


def test_without_pins_settings_stay_as_they_are_here(recorded: Callable[..., RunSpec]) -> None:
    recipe = recorded(environment={"variables": {"TF_NUM_INTRAOP_THREADS": "7"}})
    left = findings(recipe, pins=None)
    assert [(f.what, f.kind, f.then) for f in left] == [("TF_NUM_INTRAOP_THREADS", "left", "7")]
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ


def test_an_enforced_run_is_requested_as_it_was(recorded: Callable[..., RunSpec]) -> None:
    variables = {"PYTHONHASHSEED": "7", "TF_NUM_INTRAOP_THREADS": "3", "TZ": "UTC"}
    enforced = recorded(mode="enforced", seed=7, environment={"variables": variables})
    assert recorded_switches(enforced) == {"PYTHONHASHSEED": "7", "TF_NUM_INTRAOP_THREADS": "3"}
    assert recorded_switches(recorded(seed=7, environment={"variables": variables})) == {}


@pytest.mark.parametrize("script", ["/bin/evil.py", "../evil.py", "a/../../evil.py"])
def test_no_script_outside_of_this_folder_is_found(
    recorded: Callable[..., RunSpec], script: str, here: Path
) -> None:
    (here.parent / "evil.py").write_text("")
    first = found(recorded(command=COMMAND | {"script": script}))[0]
    assert (first.what, first.kind) == (script, "missing")


@pytest.mark.parametrize("module", ["os; rm", "-c", "a/b", "a..b", "../x"])
def test_what_can_be_no_module_is_refused(recorded: Callable[..., RunSpec], module: str) -> None:
    with pytest.raises(LaunchError, match=r"names a module '.*', which can be none"):
        recorded(command=COMMAND | {"module": module})


@pytest.mark.parametrize("command", [{}, {"script": 5}, {"script": "", "module": None}, {"arguments": [1]}])
def test_a_run_without_a_script_cannot_be_done_again(recorded: Callable[..., RunSpec], command: Any) -> None:
    with pytest.raises(LaunchError, match="does not say which script made it"):
        recorded(command=command)
