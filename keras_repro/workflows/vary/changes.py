"""What each variation changes against a baseline that has run, or why it is not possible here.

>>> facts = RunFacts(header={"switches": [{"name": "intra_op_threads", "achieved": 2}]})
>>> intra_threads(Baseline(facts=facts, environment={})).text
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
from keras_repro.ledger.schema import switches_in
from keras_repro.utils.untrusted_json import as_mapping

WorkspaceKind = Literal["same", "elsewhere", "used"]


class NotTriedError(Exception):
    """A variation is not possible here; the message gives the reason."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """The difference between a varied run and the baseline.

    Attributes:
        text: the change in a few words, such as `"2 -> 1"`.
        variables: environment variables to set; None to remove one.
        varied: what the child changes itself, as `Plan.varied`.
        workspace: the copy to run in: a fresh one at the same path, one at another path, or the one that
            the baseline has used.
    """

    text: str
    variables: Mapping[str, str | None] = field(default_factory=dict)
    varied: Mapping[str, Any] = field(default_factory=dict)
    workspace: WorkspaceKind = "same"


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """The conditions of a run, from its ledger.

    Attributes:
        header: the ledger's header.
        jit: whether XLA compiled each of the run's fits; empty without a fit.
    """

    header: Mapping[str, Any]
    jit: tuple[bool, ...] = ()

    def switch(self, name: str) -> Any:
        """Return the effective value of a switch; None if it is not known."""
        return switches_in(self.header).get(name, {}).get("achieved")

    def recorded(self, part: str, name: str) -> Any:
        """Return a fact of a part of the recorded environment; None if it was not recorded."""
        return as_mapping(as_mapping(self.header.get("environment")).get(part)).get(name)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The run with which all others are compared.

    Attributes:
        facts: from its ledger.
        environment: its whole environment.
        copied: whether it ran in a copy of the folder.
        leftovers: files that it left there, new or changed.
    """

    facts: RunFacts
    environment: Mapping[str, str]
    copied: bool = True
    leftovers: tuple[str, ...] = ()


def hash_seed(baseline: Baseline) -> Change:
    """Change the hash seed."""
    now = baseline.environment["PYTHONHASHSEED"]
    other = str((int(now) + 1) % 2**32)
    return Change(text=f"{now} -> {other}", variables={"PYTHONHASHSEED": other})


def intra_threads(baseline: Baseline) -> Change:
    """Change the number of threads within operations."""
    return _threads("intra_op_threads", "TF_NUM_INTRAOP_THREADS", baseline)


def inter_threads(baseline: Baseline) -> Change:
    """Change the number of operations that run in parallel."""
    return _threads("inter_op_threads", "TF_NUM_INTEROP_THREADS", baseline)


def _threads(switch: str, variable: str, baseline: Baseline) -> Change:
    now = baseline.facts.switch(switch) or baseline.environment.get(variable)
    other = "2" if str(now) == "1" else "1"
    return Change(text=f"{now or 'not known'} -> {other}", variables={variable: other})


def cpu_count(baseline: Baseline) -> Change:
    """Halve the number of CPUs."""
    if not hasattr(os, "sched_setaffinity"):
        raise NotTriedError("this system cannot restrict a process to some CPUs")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise NotTriedError("there is only one CPU to use")
    fewer = cpus[: len(cpus) // 2]
    return Change(text=f"{len(cpus)} -> {len(fewer)}", varied={"cpus": fewer})


def onednn(baseline: Baseline) -> Change:
    """Toggle oneDNN."""
    now = baseline.facts.switch("onednn")
    if now is None:
        raise NotTriedError("it is not known whether the baseline used oneDNN")
    variables = {"TF_ENABLE_ONEDNN_OPTS": as_variable("onednn", not now)}
    return Change(text=f"{_on(now)} -> {_on(not now)}", variables=variables)


# oneDNN's caps, one generation of instructions apart, with the CPU flag of each.
_CAPS = (("AVX512_CORE", "avx512bw"), ("AVX2", "avx2"), ("AVX", "avx"), ("SSE41", "sse4_1"))


def instruction_set(baseline: Baseline) -> Change:
    """Cap the instructions below those of this CPU, or below the present cap."""
    if baseline.facts.switch("onednn") is False:
        raise NotTriedError("oneDNN is off, and nothing else uses the cap")
    flags = set(baseline.facts.recorded("cpu", "flags") or ())
    able = [cap for cap, flag in _CAPS if flag in flags]
    now = str(baseline.facts.switch("onednn_isa") or "the CPU's")
    named = [cap for cap, _ in _CAPS]
    lower = able[able.index(now) + 1 :] if now in able else able[1:] if now not in named else []
    if not lower:
        raise NotTriedError("this CPU has no older instructions for oneDNN")
    return Change(text=f"{now} -> {lower[0]}", variables={"ONEDNN_MAX_CPU_ISA": lower[0]})


def xla(baseline: Baseline) -> Change:
    """Toggle XLA."""
    facts = baseline.facts
    if facts.jit and all(facts.jit) and not facts.switch("xla_auto_jit"):
        return Change(text="on -> off", varied={"jit": False})
    wanted = not facts.switch("xla_auto_jit")
    variables = {"TF_XLA_FLAGS": as_variable("xla_auto_jit", wanted)}
    return Change(text=f"{_on(not wanted)} -> {_on(wanted)}", variables=variables)


def op_determinism(baseline: Baseline) -> Change:
    """Toggle deterministic operations."""
    now = bool(baseline.facts.switch("op_determinism"))
    variables = {"TF_DETERMINISTIC_OPS": as_variable("op_determinism", not now)}
    return Change(text=f"{_on(now)} -> {_on(not now)}", variables=variables)


# Locales with a decimal comma, which breaks code that parses or prints numbers by the locale.
_WITH_COMMA = ("de_de", "fr_fr", "es_es", "it_it", "pl_pl", "ru_ru", "pt_br", "nl_nl", "sv_se", "tr_tr")


def other_locale(baseline: Baseline) -> Change:
    """Choose another installed locale."""
    variables = baseline.environment
    now = next((variables[n] for n in ("LC_ALL", "LC_CTYPE", "LANG") if variables.get(n)), "not set")
    installed = installed_locales()
    others = [n for n in installed if _plain(n) not in (_plain(now), "posix")]
    if now == "not set":
        others = [n for n in others if _plain(n) != "c.utf8"]  # Python's own default then
    if not others:
        raise NotTriedError("no other locale is installed")
    others.sort(key=lambda n: (_rank(n), n))
    return Change(text=f"{now} -> {others[0]}", variables={"LC_ALL": others[0]})


def installed_locales() -> tuple[str, ...]:
    """Return the names of the installed locales; only `C` if they cannot be listed."""
    try:
        listing = subprocess.run(
            ["locale", "-a"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ("C",)
    return tuple(listing.stdout.decode(errors="replace").split())


def _plain(locale: str) -> str:
    return locale.lower().replace("-", "")


def _rank(locale: str) -> int:
    plain = _plain(locale)
    encoded = not plain.endswith("utf8")
    if plain.partition(".")[0] in _WITH_COMMA:
        return 0 + encoded
    return 4 if plain in ("c", "c.utf8") else 2 + encoded


def time_zone(baseline: Baseline) -> Change:
    """Move to the other side of the earth."""
    # In the form that needs no zone database; for half of each day the date differs too.
    zone, name = ("SST11", "UTC-11") if time.localtime().tm_gmtoff > 0 else ("LINT-14", "UTC+14")
    if baseline.environment.get("TZ") == zone:
        raise NotTriedError(f"it runs at {name} already")
    now = baseline.environment.get("TZ") or "the system's"
    return Change(text=f"{now} -> {name}", variables={"TZ": zone})


def working_directory(baseline: Baseline) -> Change:
    """Run in a copy at another path."""
    if not baseline.copied:
        raise NotTriedError("needs copies of the folder (--no-copy)")
    return Change(text="a copy at another path", workspace="elsewhere")


def file_order(baseline: Baseline) -> Change:
    """List folders in reverse order."""
    return Change(text="listings reversed", varied={"listings": "reversed"})


def leftover_files(baseline: Baseline) -> Change:
    """Run in the folder that the baseline has used."""
    if not baseline.copied:
        raise NotTriedError("needs copies of the folder (--no-copy)")
    if not baseline.leftovers:
        raise NotTriedError("a run leaves no files in its folder")
    count = len(baseline.leftovers)
    return Change(text=f"with {count} file{'s' * (count > 1)} of an earlier run", workspace="used")


# Variables of shells, desktops and build services that no training uses.
_EXTRA = {
    "BUILD_NUMBER": "4711",
    "BUILD_TAG": "nightly-4711",
    "COLUMNS": "57",
    "EDITOR": "ed",
    "LINES": "33",
    "MAILCHECK": "61",
    "PAGER": "cat",
    "SHLVL": "5",
    # A longer block moves everything else in memory: Mytkowicz et al., "Producing Wrong Data
    # Without Doing Anything Obviously Wrong!", 2009.
    "VARIED_BLOCK": "keras_repro " * 3000,
}
_MISSING = ("_", "OLDPWD", "LS_COLORS", "LESSOPEN", "LESSCLOSE", "MAIL", "HISTFILE", "HISTSIZE", "WINDOWID")


def other_variables(baseline: Baseline) -> Change:
    """Set and remove variables that nothing should read."""
    missing = [n for n in _MISSING if n in baseline.environment]
    extra = {n: v if baseline.environment.get(n) != v else f"{v}1" for n, v in _EXTRA.items()}
    text = f"{len(extra)} set" + (f", {len(missing)} removed" if missing else "")
    return Change(text=text, variables=extra | dict.fromkeys(missing))


def _on(value: object) -> str:
    return "on" if value else "off"
