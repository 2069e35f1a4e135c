"""What to change in a line so that it repeats, read from the line's text.

>>> suggest_fix("rng = np.random.default_rng()")
'rng = np.random.default_rng(42)'
>>> suggest_fix("names = list(set(labels))")
'names = sorted(set(labels))'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from keras_repro.source_code.rewrite import goes_by_chance, rewritten

_SEED = "keras.utils.set_random_seed(42)"

_GENERATORS = r"(?:default_rng|RandomState|Random|PCG64|PCG64DXSM|Philox|SFC64|MT19937|SeedSequence)"

_LISTED = "put sorted(...) around the listing of files"
_SETS = "go through the set in sorted(...) order"

# What is looked for in a line, and what to make of the line: tried in this order.
_RULES: tuple[tuple[str, str | Callable[[str], str]], ...] = (
    (r"default_rng\(\s*\)", lambda code: re.sub(r"default_rng\(\s*\)", "default_rng(42)", code)),
    (
        r"default_rng\(\s*None\s*\)",
        lambda code: re.sub(r"default_rng\(\s*None\s*\)", "default_rng(42)", code),
    ),
    (r"RandomState\(\s*\)", lambda code: re.sub(r"RandomState\(\s*\)", "RandomState(42)", code)),
    (
        r"\brandom\.SystemRandom\(\s*\)",
        lambda code: re.sub(r"\brandom\.SystemRandom\(\s*\)", "random.Random(42)", code),
    ),
    (
        r"\bRandom\(\s*None\s*\)",
        lambda code: re.sub(r"\bRandom\(\s*None\s*\)", "Random(42)", code),
    ),
    (r"\bRandom\(\s*\)", lambda code: re.sub(r"\bRandom\(\s*\)", "Random(42)", code)),
    (
        r"\b(PCG64|PCG64DXSM|Philox|SFC64|MT19937|SeedSequence)\(\s*\)",
        lambda code: re.sub(r"\b(PCG64|PCG64DXSM|Philox|SFC64|MT19937|SeedSequence)\(\s*\)", r"\1(42)", code),
    ),
    (
        r"default_factory\s*=\s*[\w.]*\b" + _GENERATORS + r"\b(?!\()",
        lambda code: re.sub(
            r"default_factory\s*=\s*([\w.]*\b" + _GENERATORS + r")\b(?!\()",
            r"default_factory=lambda: \1(42)",
            code,
        ),
    ),
    (
        r"\brandom\.seed\(\s*([A-Za-z_][\w.]*)?\s*\)",
        lambda code: re.sub(r"(\brandom\.seed)\(\s*([A-Za-z_][\w.]*)?\s*\)", r"\1(42)", code),
    ),
    (r"\bSeedGenerator\(\s*\)", lambda code: re.sub(r"\bSeedGenerator\(\s*\)", "SeedGenerator(42)", code)),
    (
        r"from_non_deterministic_state\(",
        lambda code: re.sub(r"from_non_deterministic_state\([^)]*\)", "from_seed(42)", code),
    ),
    (
        r"\b(SystemRandom|urandom|uuid[14]|token_\w+|randbits|randbelow|getpid|secrets)\b",
        "take a constant or a generator with a fixed seed, such as np.random.default_rng(42), in place of {}",
    ),
    (
        r"\b(train_test_split|ShuffleSplit|StratifiedShuffleSplit|GroupShuffleSplit|resample)\(",
        lambda code: _with_argument(code, "random_state=42"),
    ),
    (r"\b(Stratified|Group|StratifiedGroup)?KFold\(", lambda code: _with_argument(code, "random_state=42")),
    (r"\.sample\((?!.*random_state)", lambda code: _with_argument(code, "random_state=42")),
    (r"\bsplit_dataset\(", lambda code: _with_argument(code, "seed=42")),
    (
        r"\b(time|time_ns|perf_counter(_ns)?|monotonic(_ns)?|now|utcnow|today|timestamp)\(",
        "take a constant in place of the clock",
    ),
    (
        r"\blist\(\s*(set|frozenset)\(",
        lambda code: re.sub(r"\blist\(\s*(set|frozenset)\(", r"sorted(\1(", code),
    ),
    (
        r"\btuple\(\s*(set|frozenset)\(",
        lambda code: re.sub(r"\btuple\(\s*((set|frozenset)\([^)]*\))", r"tuple(sorted(\1)", code),
    ),
    (
        r"\b(os\.listdir|os\.scandir|glob\.glob|glob\.iglob)\(|\.(iterdir|glob|rglob)\(",
        _LISTED,
    ),
    (
        r"\bhash\(",
        "take a hash that does not change from process to process, such as zlib.crc32(text.encode())",
    ),
    (r"(?<!sorted\()\b(set|frozenset)\(|[={(\s]\{[^:{}]+\}", _SETS),
    (
        r"deterministic\s*=\s*False",
        lambda code: re.sub(r"(deterministic\s*=\s*)False", r"\1True", code),
    ),
    (
        r"\bas_completed\(|\bimap_unordered\(",
        "take the results in the order in which the work was given: pool.map(...)",
    ),
    (
        r"\b(urlopen|urlretrieve|urllib\w*\.\w+|requests\.(get|post|request)|httpx\.(get|post))\(",
        "keep what was fetched in a file, and read that",
    ),
    (r"\binput\(", "take it from an argument of the script"),
    # A generator of its own is not reached by any seed of the process.
    (r"(?<![\w.])((np|numpy)\.)?random\.(?!default_rng|seed\()[a-z_]+\(", f"{_SEED}  # first of all"),
    (r"\btf\.random\.\w+\(", f"{_SEED}  # first of all, or tf.random.stateless_* with a seed of its own"),
    (r"\.shuffle\(", lambda code: _with_argument(code, "seed=42")),
)


_STRONG = re.compile(
    r"default_rng\(\s*(None)?\s*\)|\bRandomState\(\s*\)|\bRandom\(\s*\)|\b(PCG64|Philox|SFC64|MT19937)\(\s*\)"
    r"|\bSeedSequence\(\s*\)|from_non_deterministic_state|\b(SystemRandom|urandom|uuid[14]|token_\w+|randbits)\b"
    r"|\b(randbelow|getpid|secrets)\b|\b(time|time_ns|perf_counter|perf_counter_ns|monotonic|monotonic_ns)\("
    r"|\b(now|utcnow|today|timestamp)\(|\b(set|frozenset|hash|listdir|scandir|iterdir|glob|rglob|iglob)\("
    r"|\bas_completed\(|imap_unordered\(|\bseed\(\s*\)|default_factory\s*=\s*[\w.]*\b"
    + _GENERATORS
    + r"\b(?!\()"
)
_UNSEEDED = re.compile(
    r"\b" + _GENERATORS + r"\(\s*(None)?\s*\)|\bSystemRandom\(|from_non_deterministic_state"
    r"|default_factory\s*=\s*[\w.]*\b" + _GENERATORS + r"\b(?!\()"
)
_WAITS = re.compile(r"(await )?(\w+\.)?sleep\(")
_TEMPORARY = re.compile(r"\b(mkdtemp|mkstemp|mktemp|NamedTemporaryFile|TemporaryDirectory)\(")
_WEAK = re.compile(
    r"\.(normal|uniform|random|gauss|integers|choice|choices|permutation|permuted|shuffle|randint|rand|randn"
    r"|sample|randrange"
    r"|standard_normal|getrandbits|randbytes|binomial|poisson|beta|laplace|exponential|bytes|\w+variate"
    r"|triangular|standard_\w+|negative_binomial|hypergeometric|wald|gamma|dirichlet|multinomial|lognormal"
    r"|truncated_normal|categorical|rvs|random_sample"
    r"|multivariate_normal|geometric|logistic|gumbel|pareto|rayleigh|vonmises|weibull|zipf|chisquare)\("
    r"|train_test_split\(|\w*KFold\(|\w*ShuffleSplit\(|\bsplit_dataset\("
)


# How clearly a line's text names a source of chance: itself, a draw from somewhere, threads that came by
# in another order, a name of a file that is another one each time (which seldom matters).
SOURCE, DRAW, RACE, NAME = 4, 3, 2, 1


def nondeterminism_level(code: str) -> int:
    """How clearly a line's text names a source of chance: `SOURCE`, `DRAW`, `NAME`, or 0 for not at all."""
    if only_waits(code):
        return 0
    if _STRONG.search(code):
        return SOURCE
    return DRAW if _WEAK.search(code) else NAME if _TEMPORARY.search(code) else 0


def only_waits(code: str) -> bool:
    """Whether a line only waits: how long is no value."""
    return _WAITS.match(code) is not None


def makes_generator(code: str) -> bool:
    """Whether a line's text makes a generator, with a seed or without."""
    return re.search(rf"\b{_GENERATORS}\b", code) is not None


def makes_unseeded(code: str) -> bool:
    """Whether a line's text makes a generator without a seed."""
    return _UNSEEDED.search(code) is not None


def suggest_fix(code: str, *, sets: Collection[str] = ()) -> str | None:
    """The line with its change, or what to do about it; None where its text says nothing of chance.

    Args:
        code: the text of a statement.
        sets: names in it that hold sets.
    """
    if only_waits(code):
        return None
    changed = rewritten(code, is_chance=lambda text: nondeterminism_level(text) == SOURCE, sets=sets)
    if changed is not None and changed != code:
        return changed
    for pattern, change in _RULES:
        found = re.search(pattern, code)
        if found is None:
            continue
        if change in (_LISTED, _SETS) and not goes_by_chance(code):
            continue
        if isinstance(change, str):
            return change.format(found.group(0).rstrip("("))
        changed = change(code)
        if changed != code:
            return changed
    return None


def with_seed(code: str) -> str | None:
    """The line with a number for the name that a generator in it is seeded by; None where it has none."""
    changed = re.sub(rf"\b({_GENERATORS})\(\s*[A-Za-z_][\w.]*\s*\)", r"\1(42)", code)
    changed = re.sub(r"\b(random_state|seed)\s*=\s*[A-Za-z_][\w.]*(?=\s*[,)])", r"\1=42", changed)
    return changed if changed != code else None


def _with_argument(code: str, argument: str) -> str:
    """The code with one more argument in the first call that takes it; unchanged if it has it."""
    name = argument.partition("=")[0]
    if f"{name}=" in code.replace(" ", ""):
        return code
    pattern = r"\b(train_test_split|\w*ShuffleSplit|resample|\w*KFold|split_dataset)\(|\.(sample|shuffle)\("
    found = re.search(pattern, code)
    if found is None:
        return code
    depth, index = 1, found.end()
    while index < len(code) and depth:
        depth += {"(": 1, ")": -1}.get(code[index], 0)
        index += 1
    if depth:
        return code
    inside = code[found.end() : index - 1].rstrip().rstrip(",")
    return f"{code[: found.end()]}{inside}{', ' if inside.strip() else ''}{argument}{code[index - 1 :]}"
