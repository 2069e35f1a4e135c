"""Find the cause of a divergence from the two ledgers alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from keras_repro.comparison.differences.config_diff import first_config_difference, without_consequences
from keras_repro.comparison.differences.data_diff import DATA_NAMES, other_values
from keras_repro.comparison.differences.environment_diff import environment_differences, other_versions
from keras_repro.comparison.divergence import Divergence
from keras_repro.ledger.position_text import position_text
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record
from keras_repro.utils.untrusted_json import as_mapping

_SAME_MODEL = (
    "both fits train the same model, which has changed in between; build and compile it before each fit"
)
_MOVED_ON = (
    "the generators have moved on between the two fits; call keras.utils.set_random_seed before building "
    "each model"
)


class CompareContext:
    """The state of a comparison before a pair of records.

    Args:
        ledgers: the ledgers that can be read from end to end: both, or the reference of a run that trains.
        headers: the headers of both runs.
        same_script: whether both are runs of one script.

    Attributes:
        headers: the headers of both runs.
        same_script: whether both are runs of one script.
        fits: the last `fit` records.
        last: the last record that is equal in both.
        names: Keras's name of each tensor, by its structural name.
        trained_before: whether an earlier fit trained the models of the current fit, in both runs.
    """

    def __init__(
        self,
        ledgers: Sequence[LedgerReader],
        headers: tuple[Mapping[str, Any], Mapping[str, Any]],
        *,
        same_script: bool = False,
    ) -> None:
        self.headers, self.same_script = headers, same_script
        self.fits: tuple[Record, Record] | None = None
        self.last: Record | None = None
        self.names: dict[str, str] = {}
        self.trained_before = False
        self._ledgers = ledgers
        self._trained: set[tuple[int, Any]] = set()  # models, each with the side of its run

    def add(self, a: Record, b: Record) -> None:
        """Take in the next pair of records."""
        self.names |= {name: str(described[2]) for name, described in a.shapes.items() if len(described) > 2}
        if a.kind == b.kind == "fit":
            self.fits = a, b
            models = _models(self.fits)
            self.trained_before = bool(models) and models <= self._trained
            self._trained |= models
        if a.link == b.link:
            self.last = a

    @functools.cached_property
    def most_fits(self) -> int:
        """The largest number of fits in a ledger. It reads the ledgers, so use it only at a divergence."""
        return max(sum(r.get("kind") == "fit" for r in ledger.records()) for ledger in self._ledgers)

    @property
    def of_one_run(self) -> bool:
        """Whether two fits of one run are compared."""
        return all(ledger.fit is not None for ledger in self._ledgers)

    @property
    def same_model(self) -> bool:
        """Whether two fits of one run are compared that train the same model."""
        models = [f.extra.get("models") for f in self.fits or ()]
        return self.of_one_run and bool(models) and isinstance(models[0], list) and models[0] == models[1]

    @property
    def epochs(self) -> int | None:
        """The requested number of epochs of the current fit; None if unknown."""
        arguments = as_mapping(self.fits[0].extra.get("arguments")) if self.fits else {}
        epochs: int | None = arguments.get("epochs")
        return epochs

    def where(self) -> str:
        """Return the last place where both were equal, in words."""
        return "the start" if self.last is None else self.place(self.last)

    def place(self, record: Record) -> str:
        """Return the place of a record of the current fit, in words."""
        return position_text(
            record.kind,
            fit=record.fit,
            epoch=record.epoch,
            index=record.index,
            epochs=self.epochs,
            fits=self.most_fits,
        )


def cause_of(divergence: Divergence, a: Record, b: Record, context: CompareContext) -> tuple[str, str | None]:
    """Return the cause of a divergence, `"unknown"` if the ledgers do not show it, and an explanation."""
    cause, explanation = _cause_in_ledgers(divergence, a, b, context)
    versions = other_versions(*context.headers)
    if versions is None or cause == "environment":
        return cause, explanation
    # Versions have other defaults and arithmetic: their difference comes before all that follows from it.
    text = versions if explanation is None else f"{versions}; {explanation}"
    return ("environment" if cause in ("configuration", "unknown") else cause), text


def _cause_in_ledgers(
    divergence: Divergence, a: Record, b: Record, context: CompareContext
) -> tuple[str, str | None]:
    if divergence.kind == "start" and context.same_model:
        return "initial_weights", _SAME_MODEL
    if divergence.structure is not None:
        return "configuration", divergence.structure
    for rule in _RULES:
        cause = rule(divergence, a, b, context)
        if cause is not None:
            return cause
    if any(t["tensor"].endswith("learning_rate") for t in divergence.tensors):
        return "unknown", "the learning rate differs too: check the code that sets it"
    setting = _differing_setting(divergence, context)
    return "unknown", f"{setting} differs" if setting else None


_LOOP_IS_NOT_RECORDED = "use kr.Recorder to see where a loop diverges"


def _at_the_exit(
    divergence: Divergence, a: Record, b: Record, context: CompareContext
) -> tuple[str, str | None] | None:
    if divergence.kind != "exit":
        return None
    if " after " in str(divergence.section):
        return "unknown", "something changed the model after that, outside of what is recorded"
    # Without a start record, the seeds are only a hint.
    advice = _seeding_advice((a, b), seeded=f"only the end was recorded: {_LOOP_IS_NOT_RECORDED}")
    return ("unknown", advice) if advice else None


def _at_the_start(
    divergence: Divergence, a: Record, b: Record, context: CompareContext
) -> tuple[str, str | None] | None:
    if divergence.kind not in ("start", "birth") and divergence.step != 0:
        return None
    if divergence.section == "weights":
        if divergence.fit is not None and context.trained_before:
            return (
                "unknown",
                "the model was equal after an earlier fit: something outside of what is recorded has changed "
                "its weights since",
            )
        if context.of_one_run:
            return "initial_weights", _seeding_advice(context.fits, seeded=_MOVED_ON)
        if context.fits and any(f.extra.get("after_custom_loop") for f in context.fits):
            return "unknown", f"a custom training loop ran before the fit: {_LOOP_IS_NOT_RECORDED}"
        return "initial_weights", _seeding_advice(context.fits if divergence.index is None else (a, b))
    if divergence.section == "optimizer":
        return "configuration", "an optimizer's setting or state differs before the first step"
    return None


def _seeding_advice(
    records: tuple[Record, Record] | None,
    *,
    seeded: str = "a seed is set, but after the model was built, or the weights do not depend on it",
) -> str | None:
    """Return what the seeds explain and what to do; `seeded` if both runs set the same seed."""
    seeds = [as_mapping(r.extra.get("seeds_set")) for r in records or ()]
    if not seeds or any("keras" not in s for s in seeds):
        return None  # the seeds were not recorded
    call = "call keras.utils.set_random_seed before building"
    if all(s.get("keras") is not None for s in seeds):
        left, right = (s.get("keras") for s in seeds)
        if left != right:
            return f"seeds differ: {left} and {right}"
        return seeded
    if all(s.get("tensorflow") is not None for s in seeds):
        return (
            "seeds were set with tf.random.set_seed, from which Keras 3's initializers do not draw; " + call
        )
    if any(s.get("keras") is not None for s in seeds):
        return f"one of the runs set no seed with Keras; {call}"
    return f"no seed was set with Keras; {call}"


def _models(fits: tuple[Record, Record]) -> frozenset[tuple[int, Any]]:
    """Return the models of a pair of fits, each as the side of its run and its number there."""
    listed = [f.extra.get("models") for f in fits]
    return frozenset(
        (side, m) for side, ms in enumerate(listed) if isinstance(ms, list) for m in ms if isinstance(m, int)
    )


def _configuration(
    divergence: Divergence, a: Record, b: Record, context: CompareContext
) -> tuple[str, str | None] | None:
    if context.fits is None or divergence.index is not None:
        return None
    digests = [as_mapping(f.extra.get("data")).get("digest") for f in context.fits]
    same_data = bool(digests[0]) and digests[0] == digests[1]
    names = ("configuration", "arguments") if same_data or not all(digests) else ("configuration",)
    for name in names:
        left, right = (_without_epochs(f.extra.get(name)) for f in context.fits)
        if name == "configuration" or not same_data:
            # Other data may take another number of steps.
            left, right = without_consequences(left), without_consequences(right)
        if left != right:
            return "configuration", f"{first_config_difference(left, right, name)} differs"
    return None


def _differing_setting(divergence: Divergence, context: CompareContext) -> str | None:
    """Return the first setting that differs and is no cause by itself, such as a seed."""
    for name in ("configuration", "arguments") if context.fits and divergence.index is None else ():
        left, right = (_without_epochs(f.extra.get(name)) for f in context.fits or ())
        if left != right:
            return str(first_config_difference(left, right, name))
    return None


def _data(
    divergence: Divergence, a: Record, b: Record, context: CompareContext
) -> tuple[str, str | None] | None:
    source = (a, b) if divergence.index is not None else context.fits or ()
    only_metrics = divergence.section == "metrics"
    fields = ("data",) if divergence.index is not None else ("data", "validation_data")
    for name in fields if source else ():
        left, right = (as_mapping(r.extra.get(name)) for r in source)
        if name == "validation_data" and not only_metrics:
            continue
        what = DATA_NAMES[name]
        if left.get("kind") != right.get("kind"):
            kinds = [r.get("kind") or "not given" for r in (left, right)]
            return "configuration", f"{what} differs in kind: {kinds[0]} and {kinds[1]}"
        if not left.get("digest") or left.get("digest") == right.get("digest"):
            continue
        if left.get("rows") and left.get("rows") == right.get("rows"):
            return "data_order", f"{what} has the same samples in another order"
        return "data_values", other_values(name, left, right, given_to=a.kind if a.fit is None else "fit")
    if divergence.section == "order":
        return "data_order", "the seed, batch size or shuffle policy of the trainer differs"
    return None


def _initial_seeds(
    divergence: Divergence, a: Record, b: Record, context: CompareContext
) -> tuple[str, str | None] | None:
    """Explain generators with another state before the first step of the fit."""
    if divergence.section == "order":
        return None  # the trainer's seed sets the generators too
    drawn = a.tensors.get("seeds", {}).keys() & b.tensors.get("seeds", {}).keys()  # in both runs
    names = [t["tensor"] for t in divergence.tensors if t["section"] == "seeds" and t["tensor"] in drawn]
    if divergence.kind not in ("start", "birth"):
        names = [n for n in names if n.endswith(" at the start")]
    if not names:
        return None
    generator = names[0].removesuffix(" at the start").removesuffix("/state")
    setting = _differing_setting(divergence, context)
    reason = setting or "it is unseeded, or was used a different number of times"
    return "random_state", f"the random state of {generator} differs: {reason}"


def _draws(
    divergence: Divergence, a: Record, b: Record, context: CompareContext
) -> tuple[str, str | None] | None:
    """Report generators that were equal before the first step, and differ now."""
    generator = next((t["tensor"] for t in divergence.tensors if t["section"] == "seeds"), None)
    if generator is None:
        return None
    name = generator.removesuffix(" at the start").removesuffix("/state")
    cause = "random_state" if divergence.section == "seeds" else "unknown"  # or is it a consequence?
    return cause, f"{name} was used a different number of times"


def _environment(
    divergence: Divergence, a: Record, b: Record, context: CompareContext
) -> tuple[str, str | None] | None:
    differing = environment_differences(*context.headers, same_script=context.same_script)
    return ("environment", "; ".join(differing)) if differing else None


_RULES = (_at_the_exit, _configuration, _at_the_start, _initial_seeds, _data, _draws, _environment)


def _without_epochs(value: Any) -> Any:
    """Return a fit's arguments without the number of epochs, which alone changes no epoch."""
    if not isinstance(value, Mapping):
        return value
    return {k: v for k, v in value.items() if k not in ("epochs", "epochs_requested")}
