"""Notes on compared runs: what is worth knowing but does not change the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record
from keras_repro.utils.mappings import differing_names
from keras_repro.utils.text import first_few
from keras_repro.utils.untrusted_json import as_mapping, as_texts

HASH_SEEDS_DIFFER = (
    "each run had its own hash seed: if the runs agree with --keep-hash-seed, the order of a set or "
    "hash() is the cause"
)

SEED_WITHOUT_EFFECT = (
    "the seed does not reach the data order in this Keras: fit shuffles arrays alike under every seed, and "
    "runs with other seeds vary less; kr.ReproducibleTrainer orders by its seed"
)

OUTSIDE_MODELS = "trained by hand"
"""Start of the names of variables that a custom training loop trains and no model contains."""

_LATENT = {
    "seeds": "seed generator {} differs but was never used: without effect (latent)",
    "captured variables": "captured variable {} differs but never moved",
    "metric variables": "metric variable {} differs by values left from before: without effect",
    "process generators": "the process's own generator ({}) differs: without effect so far (latent)",
}


def latent_notes(a: Record, b: Record) -> Iterator[str]:
    """Yield notes on recorded differences outside the chain; valid only if the chains stay equal."""
    for group in dict.fromkeys([*a.latent, *b.latent]):
        if group == "metric variables" and a.kind != "start":
            continue
        names = differing_names(a.latent.get(group, {}), b.latent.get(group, {}))
        if names:
            shown = first_few(names, 3)
            yield _LATENT[group].format(shown) if group in _LATENT else f"{group} {shown} differs"
    if a.kind == "fit":
        digests = [as_mapping(r.extra.get("data")).get("digest") for r in (a, b)]
        if all(digests) and digests[0] != digests[1]:
            yield "the data given to fit differs, without effect on what was compared (latent)"


def limit_notes(a: Record, b: Record) -> Iterator[str]:
    """Yield notes on what two equal records are known not to contain."""
    names = differing_names(a.added, b.added)
    if names:
        yield f"log {', '.join(names)}, added by a callback, differs: not part of the chain"
    for record in (a, b):
        for operation in as_texts(record.extra.get("stateful_random_operations")):
            yield (
                f"the training step contains a stateful random operation ({operation}), "
                "whose hidden counter is not recorded"
            )
        if record.kind == "fit":
            yield from as_texts(record.extra.get("notes"))
        if record.kind == "exit":
            for name in as_texts(record.extra.get("unsupported")):
                yield f"{name} was trained too, which is not supported yet: not recorded"
            if record.extra.get("unobserved"):
                yield "a forked process trained too: not recorded"
            elif isinstance(started := record.extra.get("processes"), int) and started > 0:
                yield f"the script started processes of its own ({started}): a training there is not recorded"


def order_notes(ledgers: Sequence[LedgerReader]) -> Iterator[str]:
    """Yield a note if a run's Keras shuffles arrays in the same order under every seed."""
    if any(f.last is not None and f.last.extra.get("seed_reaches_order") is False for f in ledgers):
        yield SEED_WITHOUT_EFFECT


def chance_notes(record: Record) -> Iterator[str]:
    """Yield notes on a record that agrees with another one by chance, if the chains stay equal."""
    for name in ("data", "validation_data"):
        data = as_mapping(record.extra.get(name))
        shared = as_texts(data.get("shared_generators"))
        if shared:
            yield (
                f"agreed by chance: {data.get('workers', 'several')} workers draw from one generator "
                f"({first_few(shared, 3)}), in an order that may change. Make each batch from "
                "(seed, epoch, index) alone, or use workers=1"
            )


def copy_notes(ledgers: Sequence[LedgerReader]) -> Iterator[str]:
    """Yield notes on ledgers that are the same file or copies of it: comparing them shows nothing."""
    by_digest: dict[str, LedgerReader] = {}
    for ledger in ledgers:
        first = by_digest.setdefault(ledger.identity, ledger)
        if first is not ledger:
            yield f"{first.path} and {ledger.path} are the same recorded run: nothing was repeated"


def coverage_text(kinds: set[str], letters: str, *, fits: bool = False) -> str:
    """Return what a verdict covers, in words.

    Args:
        kinds: the kinds of the equal records that have a digest, and `OUTSIDE_MODELS`.
        letters: the coverage of both chains.
        fits: whether two fits were compared, not two runs.
    """
    trained = kinds & {"epoch"}
    present = {
        "training": trained,
        "the start of a training": kinds & {"start", "birth", "end"} and not trained,
        "evaluation": kinds & {"evaluation"},
        "predictions": kinds & {"prediction"},
        "steps outside fit": kinds & {"loop"},
        "the models' state at exit": kinds & {"exit"} and not kinds & {"start", "loop"},
        "variables outside of models": kinds & {OUTSIDE_MODELS},
    }
    covered = [name for name, records in present.items() if records]
    missing = [name for name in ("evaluation", "predictions") if not present[name]]
    if not covered:
        return "nothing"
    text = " and ".join([", ".join(covered[:-1]), covered[-1]] if len(covered) > 1 else covered)
    if fits:
        return f"{text}; only these two fits were compared"
    if "r" not in letters:
        return f"{text}; what was computed outside fit was not recorded"
    if not missing:
        return text
    was = "was" if missing == ["evaluation"] else "were"
    return f"{text}; {' and '.join(missing)} {was} not computed outside fit"


def caps_text(header: Mapping[str, Any]) -> str:
    """Return the part of the training that a capped run made; empty if it was not capped.

    Such as `"the first 2 epochs of each fit"`.
    """
    policies = header["policies"]
    caps = {"max_epochs": ("epoch", "of each fit"), "max_steps": ("step", "of each epoch")}
    return " and ".join(
        (f"the first {what} {of}" if policies[n] == 1 else f"the first {policies[n]} {what}s {of}")
        for n, (what, of) in caps.items()
        if policies.get(n)
    )
