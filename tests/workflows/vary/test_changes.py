"""The change of each variation against a baseline, from constructed conditions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from keras_repro.workflows.vary import changes
from keras_repro.workflows.vary.changes import Baseline, NotTriedError, RunFacts


def baseline(
    environment: dict[str, str] | None = None,
    *,
    switches: dict[str, Any] | None = None,
    flags: tuple[str, ...] = (),
    jit: tuple[bool, ...] = (),
    **more: Any,
) -> Baseline:
    readings = [{"name": name, "achieved": value} for name, value in (switches or {}).items()]
    header = {"switches": readings, "environment": {"cpu": {"flags": list(flags)}}}
    return Baseline(facts=RunFacts(header=header, jit=jit), environment=environment or {}, **more)


def test_hash_seed_is_changed() -> None:
    change = changes.hash_seed(baseline({"PYTHONHASHSEED": "4294967295"}))
    assert (change.text, change.variables) == ("4294967295 -> 0", {"PYTHONHASHSEED": "0"})


@pytest.mark.parametrize(
    ("achieved", "variable", "text", "other"),
    [
        (8, None, "8 -> 1", "1"),
        (1, None, "1 -> 2", "2"),
        (None, "1", "1 -> 2", "2"),
        (None, None, "not known -> 1", "1"),
    ],
)
def test_number_of_threads_differs_from_the_baseline(
    achieved: Any, variable: Any, text: str, other: str
) -> None:
    environment = {} if variable is None else {"TF_NUM_INTRAOP_THREADS": variable}
    change = changes.intra_threads(baseline(environment, switches={"intra_op_threads": achieved}))
    assert (change.text, change.variables) == (text, {"TF_NUM_INTRAOP_THREADS": other})


def test_inter_threads_changes_its_own_variable() -> None:
    change = changes.inter_threads(baseline(switches={"intra_op_threads": 1, "inter_op_threads": 2}))
    assert change.variables == {"TF_NUM_INTEROP_THREADS": "1"}


@pytest.mark.parametrize(("cpus", "fewer"), [({0, 1}, [0]), ({2, 3, 5, 7, 9}, [2, 3])])
def test_cpu_count_is_halved(monkeypatch: pytest.MonkeyPatch, cpus: set[int], fewer: list[int]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cpus)
    assert changes.cpu_count(baseline()).varied == {"cpus": fewer}


def test_single_cpu_cannot_be_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    with pytest.raises(NotTriedError, match="only one CPU"):
        changes.cpu_count(baseline())


def test_onednn_is_toggled() -> None:
    assert changes.onednn(baseline(switches={"onednn": True})).variables == {"TF_ENABLE_ONEDNN_OPTS": "0"}
    assert changes.onednn(baseline(switches={"onednn": False})).variables == {"TF_ENABLE_ONEDNN_OPTS": "1"}
    with pytest.raises(NotTriedError, match="not known"):
        changes.onednn(baseline())


@pytest.mark.parametrize(
    ("flags", "now", "cap"),
    [
        (("sse4_1", "avx", "avx2", "avx512bw"), "the CPU's", "AVX2"),
        (("sse4_1", "avx", "avx2"), "the CPU's", "AVX"),
        (("sse4_1", "avx", "avx2", "avx512bw"), "AVX2", "AVX"),
        (("sse4_1", "avx", "avx2", "avx512bw"), "AVX512_CORE_BF16", "AVX2"),
    ],
)
def test_instruction_set_is_below_the_effective_one(flags: tuple[str, ...], now: str, cap: str) -> None:
    change = changes.instruction_set(baseline(flags=flags, switches={"onednn": True, "onednn_isa": now}))
    assert change.variables == {"ONEDNN_MAX_CPU_ISA": cap}


@pytest.mark.parametrize(
    ("flags", "now", "onednn", "reason"),
    [
        (("sse4_1",), "the CPU's", True, "no older instructions"),
        (("sse4_1", "avx"), "SSE41", True, "no older instructions"),
        (("asimd",), "the CPU's", True, "no older instructions"),
        (("sse4_1", "avx", "avx2"), "the CPU's", False, "oneDNN is off"),
    ],
)
def test_without_older_instructions_it_is_not_tried(
    flags: tuple[str, ...], now: str, onednn: bool, reason: str
) -> None:
    with pytest.raises(NotTriedError, match=reason):
        changes.instruction_set(baseline(flags=flags, switches={"onednn": onednn, "onednn_isa": now}))


def test_xla_is_toggled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    on = {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"}
    for jit in ((), (False,), (True, False)):
        change = changes.xla(baseline(switches={"xla_auto_jit": False}, jit=jit))
        assert (change.variables, change.varied) == (on, {})
    change = changes.xla(baseline(switches={"xla_auto_jit": False}, jit=(True, True)))
    assert (change.variables, change.varied) == ({}, {"jit": False})
    change = changes.xla(baseline(switches={"xla_auto_jit": True}, jit=(True,)))
    assert change.variables == {"TF_XLA_FLAGS": "--tf_xla_auto_jit=-1"}


def test_op_determinism_is_toggled() -> None:
    off = changes.op_determinism(baseline(switches={"op_determinism": True}))
    assert off.variables == {"TF_DETERMINISTIC_OPS": "0"}
    assert changes.op_determinism(baseline()).variables == {"TF_DETERMINISTIC_OPS": "1"}


@pytest.mark.parametrize(
    ("installed", "environment", "other"),
    [
        ("C C.utf8 POSIX", {}, "C"),
        ("C C.utf8 POSIX", {"LC_ALL": "C"}, "C.utf8"),
        ("C C.utf8 POSIX", {"LANG": "C.UTF-8"}, "C"),
        ("C C.utf8 POSIX en_US.utf8", {}, "en_US.utf8"),
        ("C de_DE de_DE.iso88591 de_DE.utf8 en_US.utf8", {"LANG": "en_US.UTF-8"}, "de_DE.utf8"),
        ("C de_DE.utf8 fr_FR.utf8", {"LANG": "de_DE.UTF-8"}, "fr_FR.utf8"),
    ],
)
def test_locale_is_an_installed_one(
    monkeypatch: pytest.MonkeyPatch, installed: str, environment: dict[str, str], other: str
) -> None:
    monkeypatch.setattr(changes, "installed_locales", lambda: tuple(installed.split()))
    assert changes.other_locale(baseline(environment)).variables == {"LC_ALL": other}


def test_without_another_locale_it_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "installed_locales", lambda: ("C", "POSIX"))
    with pytest.raises(NotTriedError, match="no other locale"):
        changes.other_locale(baseline({"LC_ALL": "C"}))


def test_installed_locales_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "C" in changes.installed_locales()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert changes.installed_locales() == ("C",)


def test_time_zone_is_far_away() -> None:
    change = changes.time_zone(baseline())
    assert change.variables["TZ"] in ("LINT-14", "SST11")
    with pytest.raises(NotTriedError, match="already"):
        changes.time_zone(baseline({"TZ": str(change.variables["TZ"])}))


def test_variations_that_need_copies_are_not_tried_without() -> None:
    for change in (changes.working_directory, changes.leftover_files):
        with pytest.raises(NotTriedError, match="--no-copy"):
            change(baseline(copied=False))
    with pytest.raises(NotTriedError, match="leaves no files"):
        changes.leftover_files(baseline())
    change = changes.leftover_files(baseline(leftovers=("last.keras",)))
    assert (change.workspace, change.text) == ("used", "with 1 file of an earlier run")


def test_other_variables_are_set_and_removed() -> None:
    change = changes.other_variables(
        baseline({"EDITOR": "ed", "OLDPWD": "/", "HOME": "/root", "PATH": "/bin"})
    )
    assert change.variables["EDITOR"] == "ed1"
    assert change.variables["OLDPWD"] is None
    assert not {"HOME", "PATH", "USER"} & set(change.variables)
    assert len(str(change.variables["VARIED_BLOCK"])) > 30_000
