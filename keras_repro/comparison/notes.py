"""What is worth knowing of two runs and changes no verdict, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record

HASH_SEEDS_DIFFER = (
    "each run had a hash seed of its own: if they agree with --keep-hash-seed, the order of a set or "
    "hash() is the cause"
)

_LATENT = {
    "seeds": "seed generator {} was never drawn from: without effect (latent)",
    "metric variables": "metric variable {} held other values, left from before: without effect",
    "process generators": "the process's own generator ({}) differs: without effect so far (latent)",
}


def latent_notes(a: Record, b: Record) -> Iterator[str]:
    """What was recorded and differs, but is not in the chain; true only where the chains stay equal."""
    for group in dict.fromkeys([*a.latent, *b.latent]):
        if group == "metric variables" and a.kind != "start":
            continue
        names = list(differing(a.latent.get(group, {}), b.latent.get(group, {})))
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            yield _LATENT[group].format(shown) if group in _LATENT else f"{group} {shown} differs"
    if a.kind == "fit":
        digests = [d.get("digest") if isinstance(d := r.extra.get("data"), Mapping) else None for r in (a, b)]
        if all(digests) and digests[0] != digests[1]:
            yield "the data given to fit differs, without effect on what was compared (latent)"


def limit_notes(a: Record, b: Record) -> Iterator[str]:
    """What two equal records do not hold, as far as they say so themselves."""
    names = list(differing(a.added, b.added))
    if names:
        yield f"log {', '.join(names)}, added by a callback, differs: not part of the chain"
    for record in (a, b):
        for operation in _texts(record.extra.get("stateful_random_operations")):
            yield (
                f"the training step holds a stateful random operation ({operation}), "
                "whose hidden counter is not recorded"
            )
        if record.kind == "fit":
            yield from _texts(record.extra.get("notes"))
        if record.kind == "exit":
            for name in _texts(record.extra.get("unsupported")):
                yield f"{name} was trained too, which is not supported yet: not observed"
            if record.extra.get("unobserved"):
                yield "a forked process trained too: not observed"
            elif isinstance(started := record.extra.get("processes"), int) and started > 0:
                yield f"the script started processes of its own ({started}): a training there is not observed"


def copy_notes(files: Sequence[LedgerReader]) -> Iterator[str]:
    """A word on ledgers that are one file, or copies of one: comparing them shows nothing."""
    first: dict[str, LedgerReader] = {}
    for file in files:
        earlier = first.setdefault(file.digest, file)
        if earlier is not file:
            yield f"{earlier.path} and {file.path} hold one and the same run: nothing was repeated"


def coverage_in_words(kinds: set[str], letters: str) -> str:
    """What a verdict covers.

    Args:
        kinds: the kinds of the records that were equal and hold something.
        letters: the coverage of both chains.
    """
    trained = kinds & {"epoch"}
    said = {
        "training": trained,
        "the start of a training": kinds & {"start", "birth", "end"} and not trained,
        "evaluation": kinds & {"evaluation"},
        "predictions": kinds & {"prediction"},
        "steps outside fit": kinds & {"loop"},
        "the models' state at exit": kinds & {"exit"} and not kinds & {"start", "loop"},
    }
    seen = [name for name, found in said.items() if found]
    missing = [name for name in ("evaluation", "predictions") if not said[name]]
    if not seen:
        return "nothing"
    text = " and ".join([", ".join(seen[:-1]), seen[-1]] if len(seen) > 1 else seen)
    if "r" not in letters:
        return f"{text}; what was computed outside fit was not recorded"
    return text + (f"; {' and '.join(missing)} were not computed outside fit" if missing else "")


def caps_in_words(header: Mapping[str, Any]) -> str:
    """What part of the training a capped run held, such as `"the first 2 epochs of each fit"`; else empty."""
    policies = header.get("policies") or {}
    caps = {"max_epochs": ("epoch", "of each fit"), "max_steps": ("step", "of each epoch")}
    return " and ".join(
        (f"the first {what} {of}" if policies[n] == 1 else f"the first {policies[n]} {what}s {of}")
        for n, (what, of) in caps.items()
        if policies.get(n)
    )


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """The names under which two mappings hold something else, in their order."""
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield name


def _texts(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
