"""Differences between the environment of a recorded run and this one, found before anything is run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ledger_builders
import pytest

from keras_repro.errors import LaunchError
from keras_repro.ledger.reader import open_ledger
from keras_repro.provenance.environment import VARIABLES, gather
from keras_repro.provenance.input_files import describe, file_digest, roots
from keras_repro.workflows.reproduce.environment_diff import EnvironmentDifference, environment_diff
from keras_repro.workflows.reproduce.recorded_task import recorded_switches, recorded_variables
from keras_repro.workflows.reproduce.run_spec import RunSpec, read_run_spec

COMMAND = {"script": "train.py", "module": None, "arguments": ["--epochs", "3"], "hidden": 0}


@pytest.fixture
def recorded(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunSpec]:
    """Make the spec of a run of `train.py` on this machine, with changes of its header."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (here / "train.py").write_text("import os\nimport numpy as np\n")

    def make(inputs: Any = None, **changes: Any) -> RunSpec:
        environment = gather() | {"code": file_digest("train.py")}
        for name, change in changes.pop("environment", {}).items():
            old = environment.get(name)
            both = isinstance(change, Mapping) and isinstance(old, Mapping)
            environment[name] = {**old, **change} if both else change
        header = {"command": COMMAND, "environment": environment, "coverage": "smr"} | changes
        last = ledger_builders.exit_record(inputs=inputs or {"files": [], "unnamed": 0})
        run = ledger_builders.write(here / "a", [*ledger_builders.training(), last], **header)
        return read_run_spec(open_ledger(run))

    return make


def differences(spec: RunSpec) -> list[EnvironmentDifference]:
    return list(environment_diff(spec, variables=recorded_variables(spec)))


def test_nothing_differs_on_the_machine_of_the_run(recorded: Callable[..., RunSpec]) -> None:
    assert differences(recorded()) == []


def test_recipe_has_the_recorded_values(recorded: Callable[..., RunSpec]) -> None:
    spec = recorded(policies={"max_epochs": 2, "max_steps": "x", "batch_size": 32})
    assert (spec.command, spec.hidden, spec.seed) == ("train.py --epochs 3", 0, None)
    assert (dict(spec.policies), spec.of_whole_script) == ({"max_epochs": 2}, True)


NEWER_CPU = {"flags": ["avx", "avx2", "avx512f", "fma", "amx_tile"], "model": "A Large CPU", "available": 64}
DIFFERENCES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "an older TensorFlow": (
        {"environment": {"packages": {"tensorflow": "2.15.0"}}},
        [("package tensorflow", "other kernels: expect grade ulp or different")],
    ),
    "what the script imports": (
        {"environment": {"packages": {"numpy": "1.0"}}},
        [("package numpy", "it may prepare the data differently")],
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
        [("git commit", "none if script and data are the same")],
    ),
    "an unknown hash seed": (
        {"switches": [{"name": "hash_seed", "achieved": "random"}]},
        [("hash seed", "not reproducible if the order of a set matters")],
    ),
    "a variable that was not published": (
        {"environment": {"variables": {"XLA_FLAGS": "<hidden>", "LD_PRELOAD": "x.so"}}},
        [("variable XLA_FLAGS", "set it as it was")],
    ),
    "variables that are set again": (
        {"environment": {"variables": {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2", "TZ": "Asia/Tokyo"}}},
        [("TF_XLA_FLAGS", "set as recorded"), ("TZ", "set as recorded")],
    ),
    "threads that were not set by a variable": (
        {"switches": [{"name": "intra_op_threads", "achieved": 3}, {"name": "onednn", "achieved": False}]},
        [("TF_ENABLE_ONEDNN_OPTS", "set as recorded"), ("TF_NUM_INTRAOP_THREADS", "set as recorded")],
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_difference_has_an_implication(recorded: Callable[..., RunSpec], name: str) -> None:
    changes, expected = DIFFERENCES[name]
    assert [(f.what, f.implies) for f in differences(recorded(**changes))] == expected


def test_missing_cpu_instructions_are_named(recorded: Callable[..., RunSpec]) -> None:
    flags = [*gather()["cpu"]["flags"], "avx512f", "amx_tile", "sve"]
    lost = next(f for f in ("avx512f", "amx_tile", "sve") if f not in gather()["cpu"]["flags"])
    (cpu, count) = differences(recorded(environment={"cpu": NEWER_CPU | {"flags": flags}}))
    word = {"avx512f": "AVX-512", "amx_tile": "AMX", "sve": "SVE"}[lost]
    assert (cpu.what, cpu.implies) == ("CPU", f"this CPU lacks {word}: expect grade ulp")
    assert (count.what, count.then) == ("CPUs to use", "64")
    assert count.implies == "expect grade ulp"


def test_other_build_of_the_same_tensorflow_is_no_difference(recorded: Callable[..., RunSpec]) -> None:
    packages = dict(gather()["packages"])
    name = next(n for n in ("tensorflow", "tensorflow-cpu") if n in packages)
    packages["tensorflow-macos"] = packages.pop(name)
    spec = recorded()
    environment = {**spec.environment, "packages": packages}
    assert differences(RunSpec(**{**vars(spec), "environment": environment})) == []


def test_changed_or_missing_script_comes_first(recorded: Callable[..., RunSpec], here: Path) -> None:
    spec = recorded(environment={"git": {"commit": "c" * 40, "dirty": False}})
    (here / "train.py").write_text("import os\nimport numpy\n")
    first = differences(spec)[0]
    assert (first.what, first.kind, first.implies) == ("train.py", "changed", "git checkout cccccccccccc")
    (here / "train.py").unlink()
    first = differences(spec)[0]
    assert (first.what, first.kind, first.here) == ("train.py", "missing", "not in this folder")


def test_unconditionally_imported_package_must_be_installed(
    recorded: Callable[..., RunSpec], here: Path
) -> None:
    (here / "neighbor.py").write_text("")
    (here / "train.py").write_text(
        "import neighbor\nimport no_such_package.part\nfrom no_such_other import x\n"
        "try:\n    import optional_one\nexcept ImportError:\n    pass\n"
    )
    missing = [f.what for f in differences(recorded()) if f.kind == "missing"]
    assert missing == ["package no_such_package", "package no_such_other"]


def test_changed_and_missing_data_are_distinguished(recorded: Callable[..., RunSpec], here: Path) -> None:
    for name in ("x.npy", "y.npy", "own.py"):
        (here / name).write_bytes(b"\x00" * 4000)
    spec = recorded(inputs=describe(["x.npy", "y.npy", "own.py"], roots("train.py")))
    assert differences(spec) == []
    (here / "x.npy").write_bytes(b"\x00" * 3999 + b"\x01")
    (here / "y.npy").unlink()
    (here / "own.py").write_bytes(b"")
    assert [(f.what, f.kind, f.then, f.here) for f in differences(spec)] == [
        ("data y.npy", "missing", "4,000 bytes", "not here"),
        ("code own.py", "changed", "4,000 bytes", "0 bytes"),
        ("data x.npy", "differs", "4,000 bytes", "other content"),
    ]


def test_changed_code_in_the_folder_of_the_script_is_code(
    recorded: Callable[..., RunSpec], here: Path
) -> None:
    (here / "own.py").write_text("x = 1\n")
    entry = {"root": "script's folder", "path": "own.py", "bytes": 99, "digest": None}
    (first,) = differences(recorded(inputs={"files": [entry], "unnamed": 0}))
    assert (first.what, first.kind) == ("code own.py in the script's folder", "changed")


def test_variables_set_only_here_are_removed(
    recorded: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = recorded()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("MY_OWN", "1")
    assert recorded_variables(spec) == {"ONEDNN_MAX_CPU_ISA": None}
    assert [(f.what, f.kind, f.then, f.here) for f in differences(spec)] == [
        ("ONEDNN_MAX_CPU_ISA", "pinned", "not set", "SSE41")
    ]


def test_without_pins_settings_stay_as_they_are(recorded: Callable[..., RunSpec]) -> None:
    spec = recorded(environment={"variables": {"TF_NUM_INTRAOP_THREADS": "7"}})
    left = environment_diff(spec, variables=None)
    assert [(f.what, f.kind, f.then) for f in left] == [("TF_NUM_INTRAOP_THREADS", "left", "7")]
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ


def test_enforced_run_keeps_its_pinned_switches(recorded: Callable[..., RunSpec]) -> None:
    variables = {"PYTHONHASHSEED": "7", "TF_NUM_INTRAOP_THREADS": "3", "TZ": "UTC"}
    enforced = recorded(mode="enforced", seed=7, environment={"variables": variables})
    assert recorded_switches(enforced) == {"PYTHONHASHSEED": "7", "TF_NUM_INTRAOP_THREADS": "3"}
    assert recorded_switches(recorded(seed=7, environment={"variables": variables})) == {}


@pytest.mark.parametrize("script", ["/bin/evil.py", "../evil.py", "a/../../evil.py"])
def test_script_outside_of_the_folder_is_not_found(
    recorded: Callable[..., RunSpec], script: str, here: Path
) -> None:
    (here.parent / "evil.py").write_text("")
    first = differences(recorded(command=COMMAND | {"script": script}))[0]
    assert (first.what, first.kind) == (script, "missing")


@pytest.mark.parametrize("module", ["os; rm", "-c", "a/b", "a..b", "../x"])
def test_invalid_module_name_is_refused(recorded: Callable[..., RunSpec], module: str) -> None:
    with pytest.raises(LaunchError, match=r"names a module '.*', which is not a valid name"):
        recorded(command=COMMAND | {"module": module})


@pytest.mark.parametrize("command", [{}, {"script": 5}, {"script": "", "module": None}, {"arguments": [1]}])
def test_run_without_a_script_is_refused(recorded: Callable[..., RunSpec], command: Any) -> None:
    with pytest.raises(LaunchError, match="does not record which script made the run"):
        recorded(command=command)
