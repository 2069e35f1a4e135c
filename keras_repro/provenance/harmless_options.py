"""Options of scripts whose values are known to be harmless, by the words of their names.

>>> takes_harmless_number("--encoder-learning-rate"), takes_harmless_number("--pin")
(True, False)
>>> takes_harmless_word("--optimizer"), takes_harmless_word("--db")
(True, False)
"""

from __future__ import annotations

import re


def takes_harmless_number(option: str) -> bool:
    """Return whether a number after this option is a setting of a training, such as `--epochs`."""
    words = _words_of(option)
    return _KNOWN.issuperset(words) and not _QUANTITIES.isdisjoint(words)


def takes_harmless_word(option: str) -> bool:
    """Return whether a word after this option is a technical choice, such as `--optimizer`."""
    words = _words_of(option)
    return _KNOWN.issuperset(words) and words[-1] in _CHOICES


def _words_of(option: str) -> list[str]:
    return re.split("[-_.]", option.lower().lstrip("-"))


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_QUANTITIES = _set_of(
    """
    alpha batch batches beta buffer channels classes clip clipnorm clipvalue cpus cycles decay delta
    depth dim dimension dimensions dims dropout epoch epochs eps epsilon every factor features filters
    fold folds fraction gamma gpus heads height interval iterations iters kernel l1 l2 lambda layers len
    length lr momentum neurons noise patience rate ratio repeats restarts rho rounds runs samples scale
    seed sigma size smoothing splits state steps stride strides temperature threads threshold tolerance
    units verbose verbosity warmup width workers
    """
)
_CHOICES = _set_of(
    """
    activation arch architecture augmentation backbone backend device dtype initializer loss metric mode
    monitor normalization optimizer padding policy pooling precision regularizer schedule scheduler
    shuffle strategy
    """
)
_QUALIFIERS = _set_of(
    """
    1 2 adam base bs conv crop data dataset decoder dense embed embedding encoder eval final fit global
    grad gradient hidden image img initial input label layer learning lstm max min model n no num number
    of output per pool queue random seq sequence sgd split start step test total train training val
    valid validation vocab weight
    """
)
_KNOWN = _QUANTITIES | _CHOICES | _QUALIFIERS
