"""What a variation changes against a baseline that has run: the change, or why it cannot be made here.

>>> seen = RunFacts(header={"switches": [{"name": "intra_op_threads", "achieved": 2}]})
>>> intra_threads(Baseline(seen=seen, environment={})).says
'2 -> 1'
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from keras_repro.determinism.switch_requests import as_variable

WorkspaceKind = Literal["same", "elsewhere", "used"]


class NotTriedError(Exception):
    """A variation cannot be made here; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a varied run has other than the baseline.

    Attributes:
        says: the change in a few words, such as `"2 -> 1"`.
        variables: environment variables, None for those that are taken away.
        varied: what the child changes itself, as arguments of `training.varied.vary`.
        place: the copy that it works in: a fresh one at the same path, one at another path, or the one
            that the baseline has used.
    """

    says: str
    variables: Mapping[str, str | None] = field(default_factory=dict)
    varied: Mapping[str, Any] = field(default_factory=dict)
    place: WorkspaceKind = "same"


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a run's ledger tells of its surroundings.

    Attributes:
        header: the ledger's header.
        jit: whether each of its fits was compiled by XLA; empty where there was no fit.
    """

    header: Mapping[str, Any]
    jit: tuple[bool, ...] = ()

    def switch(self, name: str) -> Any:
        """What was in effect of a switch; None where that is not known."""
        readings = self.header.get("switches") or ()
        return next((r.get("achieved") for r in readings if r.get("name") == name), None)

    def variable(self, name: str) -> str | None:
        """A recorded environment variable as the script had it when the recording began."""
        return (self._of("variables") or {}).get(name)

    def cpu(self, name: str) -> Any:
        """A fact of the CPU."""
        return (self._of("cpu") or {}).get(name)

    def _of(self, name: str) -> Any:
        return (self.header.get("environment") or {}).get(name)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The run that all others are compared with.

    Attributes:
        seen: what its ledger tells.
        environment: the whole environment that it was given.
        copied: whether it ran in a copy of its folder.
        leftovers: files that it left there, new or changed.
    """

    seen: RunFacts
    environment: Mapping[str, str]
    copied: bool = True
    leftovers: tuple[str, ...] = ()


def hash_seed(baseline: Baseline) -> Change:
    """Another hash seed."""
    now = baseline.environment["PYTHONHASHSEED"]
    other = str((int(now) + 1) % 2**32)
    return Change(says=f"{now} -> {other}", variables={"PYTHONHASHSEED": other})


def intra_threads(baseline: Baseline) -> Change:
    """Another number of threads within operations."""
    return _threads("intra_op_threads", "TF_NUM_INTRAOP_THREADS", baseline)


def inter_threads(baseline: Baseline) -> Change:
    """Another number of operations side by side."""
    return _threads("inter_op_threads", "TF_NUM_INTEROP_THREADS", baseline)


def _threads(switch: str, variable: str, baseline: Baseline) -> Change:
    now = baseline.seen.switch(switch) or baseline.environment.get(variable)
    other = "2" if str(now) == "1" else "1"
    return Change(says=f"{now or 'not known'} -> {other}", variables={variable: other})


def cpu_count(baseline: Baseline) -> Change:
    """Half of the CPUs."""
    if not hasattr(os, "sched_setaffinity"):
        raise NotTriedError("this system does not restrict a process to some CPUs")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise NotTriedError("there is only one CPU that it may use")
    fewer = cpus[: len(cpus) // 2]
    return Change(says=f"{len(cpus)} -> {len(fewer)}", varied={"cpus": fewer})


def onednn(baseline: Baseline) -> Change:
    """oneDNN, or not."""
    now = baseline.seen.switch("onednn")
    if now is None:
        raise NotTriedError("whether the baseline used oneDNN is not known")
    variables = {"TF_ENABLE_ONEDNN_OPTS": as_variable("onednn", not now)}
    return Change(says=f"{_on(now)} -> {_on(not now)}", variables=variables)


# The caps of oneDNN that lie one generation of instructions apart, and the CPU's flag for each.
_CAPS = (("AVX512_CORE", "avx512bw"), ("AVX2", "avx2"), ("AVX", "avx"), ("SSE41", "sse4_1"))


def instruction_set(baseline: Baseline) -> Change:
    """A cap below what this CPU can do, or below the one that is set."""
    if baseline.seen.switch("onednn") is False:
        raise NotTriedError("oneDNN is off, and nothing else takes the cap")
    flags = set(baseline.seen.cpu("flags") or ())
    able = [cap for cap, flag in _CAPS if flag in flags]
    now = str(baseline.seen.switch("onednn_isa") or "the CPU's")
    named = [cap for cap, _ in _CAPS]
    lower = able[able.index(now) + 1 :] if now in able else able[1:] if now not in named else []
    if not lower:
        raise NotTriedError("this CPU has no older instructions that oneDNN could be held to")
    return Change(says=f"{now} -> {lower[0]}", variables={"ONEDNN_MAX_CPU_ISA": lower[0]})


def xla(baseline: Baseline) -> Change:
    """XLA, or not."""
    seen = baseline.seen
    if seen.jit and all(seen.jit) and not seen.switch("xla_auto_jit"):
        return Change(says="on -> off", varied={"jit": False})
    turned = not seen.switch("xla_auto_jit")
    text = as_variable("xla_auto_jit", turned)
    return Change(says=f"{_on(not turned)} -> {_on(turned)}", variables={"TF_XLA_FLAGS": text})


def op_determinism(baseline: Baseline) -> Change:
    """Deterministic operations, or not."""
    now = bool(baseline.seen.switch("op_determinism"))
    text = as_variable("op_determinism", not now)
    return Change(says=f"{_on(now)} -> {_on(not now)}", variables={"TF_DETERMINISTIC_OPS": text})


# These write a decimal comma: what parses or prints numbers by the locale trips over it.
_WITH_COMMA = ("de_de", "fr_fr", "es_es", "it_it", "pl_pl", "ru_ru", "pt_br", "nl_nl", "sv_se", "tr_tr")


def other_locale(baseline: Baseline) -> Change:
    """Another locale that is installed."""
    variables = baseline.environment
    now = next((variables[n] for n in ("LC_ALL", "LC_CTYPE", "LANG") if variables.get(n)), "not set")
    installed = installed_locales()
    others = [n for n in installed if _plain(n) not in (_plain(now), "posix")]
    if now == "not set":
        others = [n for n in others if _plain(n) != "c.utf8"]  # what Python takes by itself then
    if not others:
        raise NotTriedError("no other locale is installed")
    others.sort(key=lambda n: (_rank(n), n))
    return Change(says=f"{now} -> {others[0]}", variables={"LC_ALL": others[0]})


def installed_locales() -> tuple[str, ...]:
    """Names of the locales that this system knows; `C` alone where it does not tell."""
    try:
        found = subprocess.run(
            ["locale", "-a"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ("C",)
    return tuple(found.stdout.decode(errors="replace").split())


def _plain(locale: str) -> str:
    return locale.lower().replace("-", "")


def _rank(locale: str) -> int:
    plain = _plain(locale)
    encoded = not plain.endswith("utf8")
    if plain.partition(".")[0] in _WITH_COMMA:
        return 0 + encoded
    return 4 if plain in ("c", "c.utf8") else 2 + encoded


def time_zone(baseline: Baseline) -> Change:
    """The other side of the earth."""
    # In the form that needs no database of zones; the day is another one for half of the time.
    zone, said = ("SST11", "UTC-11") if time.localtime().tm_gmtoff > 0 else ("LINT-14", "UTC+14")
    if baseline.environment.get("TZ") == zone:
        raise NotTriedError(f"it runs at {said} already")
    now = baseline.environment.get("TZ") or "the system's"
    return Change(says=f"{now} -> {said}", variables={"TZ": zone})


def working_directory(baseline: Baseline) -> Change:
    """A copy at another path."""
    if not baseline.copied:
        raise NotTriedError("needs copies of the folder (--no-copy)")
    return Change(says="a copy at another path", place="elsewhere")


def file_order(baseline: Baseline) -> Change:
    """Folders listed the other way round."""
    return Change(says="listings reversed", varied={"listings": "reversed"})


def leftover_files(baseline: Baseline) -> Change:
    """The folder that the baseline has used."""
    if not baseline.copied:
        raise NotTriedError("needs copies of the folder (--no-copy)")
    if not baseline.leftovers:
        raise NotTriedError("a run leaves no files in its folder")
    count = len(baseline.leftovers)
    return Change(says=f"beside {count} file{'s' * (count > 1)} of an earlier run", place="used")


# What shells, desktops and build services set, and no training has a use for.
_EXTRA = {
    "BUILD_NUMBER": "4711",
    "BUILD_TAG": "nightly-4711",
    "COLUMNS": "57",
    "EDITOR": "ed",
    "LINES": "33",
    "MAILCHECK": "61",
    "PAGER": "cat",
    "SHLVL": "5",
    # The longer the block, the further all else in memory moves: Mytkowicz et al., "Producing Wrong Data
    # Without Doing Anything Obviously Wrong!", 2009.
    "VARIED_BLOCK": "keras_repro " * 3000,
}
_MISSING = ("_", "OLDPWD", "LS_COLORS", "LESSOPEN", "LESSCLOSE", "MAIL", "HISTFILE", "HISTSIZE", "WINDOWID")


def other_variables(baseline: Baseline) -> Change:
    """Other variables that nothing should read."""
    missing = [n for n in _MISSING if n in baseline.environment]
    extra = {n: v if baseline.environment.get(n) != v else f"{v}1" for n, v in _EXTRA.items()}
    says = f"{len(extra)} set" + (f", {len(missing)} taken away" if missing else "")
    return Change(says=says, variables=extra | dict.fromkeys(missing))


def _on(value: object) -> str:
    return "on" if value else "off"
