"""How clearly the text of a line names a source of nondeterminism.

>>> nondeterminism_level("rng = np.random.default_rng()") == SOURCE
True
>>> nondeterminism_level("x = rng.normal(size=3)") == DRAW
True
>>> nondeterminism_level("x = 1")
0
"""

from __future__ import annotations

import re

# Create a generator, or a seed for one, from their first argument or from the system's entropy.
GENERATOR_NAMES = (
    "default_rng",
    "RandomState",
    "Random",
    "SeedSequence",
    "PCG64",
    "PCG64DXSM",
    "Philox",
    "SFC64",
    "MT19937",
)
GENERATORS = f"(?:{'|'.join(GENERATOR_NAMES)})"

# A line is a source itself; draws from a generator; is reached by threads in varying order; or makes a
# temporary file name, which differs each time and seldom matters.
SOURCE, DRAW, RACE, NAME = 4, 3, 2, 1

_UNSEEDED_PATTERN = (
    rf"\b{GENERATORS}\(\s*(None)?\s*\)|\bSystemRandom\(|from_non_deterministic_state"
    rf"|default_factory\s*=\s*[\w.]*\b{GENERATORS}\b(?!\()"
)
_UNSEEDED = re.compile(_UNSEEDED_PATTERN)
_SEEDED = re.compile(rf"\b{GENERATORS}\(\s*(?:seed\s*=\s*)?\d+\s*\)")
_SOURCE = re.compile(
    _UNSEEDED_PATTERN + r"|\b(SystemRandom|urandom|uuid[14]|token_\w+|randbits|randbelow|getpid|secrets)\b"
    r"|\b(time|time_ns|perf_counter|perf_counter_ns|monotonic|monotonic_ns|now|utcnow|today|timestamp)\("
    r"|\b(set|frozenset|hash|listdir|scandir|iterdir|glob|rglob|iglob)\("
    r"|\bas_completed\(|imap_unordered\(|\bseed\(\s*\)"
)
_CLOCK = re.compile(
    r"\b(time|perf_counter|monotonic|process_time|time_ns|perf_counter_ns|strftime|ctime|now|utcnow|today)\("
)
_SLEEP = re.compile(r"(await )?(\w+\.)?sleep\(")
_TEMPORARY = re.compile(r"\b(mkdtemp|mkstemp|mktemp|NamedTemporaryFile|TemporaryDirectory)\(")
_DRAW = re.compile(
    r"\.(normal|uniform|random|gauss|integers|choice|choices|permutation|permuted|shuffle|randint|rand|randn"
    r"|sample|randrange"
    r"|standard_normal|getrandbits|randbytes|binomial|poisson|beta|laplace|exponential|bytes|\w+variate"
    r"|triangular|standard_\w+|negative_binomial|hypergeometric|wald|gamma|dirichlet|multinomial|lognormal"
    r"|truncated_normal|categorical|rvs|random_sample"
    r"|multivariate_normal|geometric|logistic|gumbel|pareto|rayleigh|vonmises|weibull|zipf|chisquare)\("
    r"|train_test_split\(|\w*KFold\(|\w*ShuffleSplit\(|\bsplit_dataset\("
)


def nondeterminism_level(code: str) -> int:
    """Return `SOURCE`, `DRAW` or `NAME` by a line's text; 0 if it names no source of nondeterminism."""
    if only_waits(code):
        return 0
    if _SOURCE.search(code):
        return SOURCE
    return DRAW if _DRAW.search(code) else NAME if _TEMPORARY.search(code) else 0


def only_waits(code: str) -> bool:
    """Return whether a line only sleeps: a duration is no value."""
    return _SLEEP.match(code) is not None


def reads_clock(code: str) -> bool:
    """Return whether a line's text reads the clock."""
    return _CLOCK.search(code) is not None


def sets_seed(code: str) -> bool:
    """Return whether a line's text sets a seed of the process's generators, other than a random one."""
    return re.search(r"\b(set_random_seed|set_seed|random\.seed)\((?!\s*(None)?\s*\))", code) is not None


def makes_generator(code: str) -> bool:
    """Return whether a line's text creates a generator, seeded or not."""
    return re.search(rf"\b{GENERATORS}\b", code) is not None


def makes_unseeded(code: str) -> bool:
    """Return whether a line's text creates a generator without a seed."""
    return _UNSEEDED.search(code) is not None


def makes_seeded(code: str) -> bool:
    """Return whether a line's text creates a generator with a number as its seed, and none without a seed.

    >>> makes_seeded("x = default_rng(7).normal(n)"), makes_seeded("x = default_rng(seed).normal(n)")
    (True, False)
    """
    return _SEEDED.search(code) is not None and not makes_unseeded(code)
