"""Suggest a change that makes a line of code reproducible, from the line's text.

>>> suggest_fix("rng = np.random.default_rng()")
'rng = np.random.default_rng(42)'
>>> suggest_fix("names = list(set(labels))")
'names = sorted(set(labels))'
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Collection, Iterator
from typing import Literal

from keras_repro.source_code.nondeterminism import GENERATORS, SOURCE, nondeterminism_level, only_waits
from keras_repro.source_code.rewrite import may_show_order, rewritten

_SEED_FIRST = "keras.utils.set_random_seed(42)  # first of all"
_SORT_LISTING = "put sorted(...) around the listing of files"
_SORT_SET = "go through the set in sorted(...) order"

# A pattern, what to do with a line that matches, and with which text. The first match counts.
_RULES: tuple[tuple[str, Literal["replace", "pass", "advise"], str], ...] = (
    (r"\brandom\.SystemRandom\(\s*\)", "replace", "random.Random(42)"),
    (rf"\b({GENERATORS})\(\s*(?:None)?\s*\)", "replace", r"\1(42)"),
    (
        rf"default_factory\s*=\s*([\w.]*\b{GENERATORS})\b(?!\()",
        "replace",
        r"default_factory=lambda: \1(42)",
    ),
    (r"(\brandom\.seed)\(\s*([A-Za-z_][\w.]*)?\s*\)", "replace", r"\1(42)"),
    (r"\bSeedGenerator\(\s*\)", "replace", "SeedGenerator(42)"),
    (r"from_non_deterministic_state\([^)]*\)", "replace", "from_seed(42)"),
    # Python's own generator draws the same values, and a seed sets it.
    (r"\bsecrets\.randbelow\(", "replace", "random.randrange("),
    (r"\bsecrets\.choice\(", "replace", "random.choice("),
    (r"\bsecrets\.randbits\(", "replace", "random.getrandbits("),
    (r"\bsecrets\.token_bytes\((?!\))", "replace", "random.randbytes("),
    (r"\bsecrets\.token_hex\(([^()]+)\)", "replace", r"random.randbytes(\1).hex()"),
    (r"\b(?:os\.)?urandom\(", "replace", "random.randbytes("),
    (r"\b(?:uuid\.)?uuid[14]\(\)", "replace", "uuid.UUID(int=random.getrandbits(128))"),
    (r"\b(?:os\.)?getpid\(\)", "replace", "42"),
    (
        r"\b(SystemRandom|urandom|uuid[14]|token_\w+|randbits|randbelow|getpid|secrets)\b",
        "advise",
        "take a constant or a generator with a fixed seed, such as np.random.default_rng(42), in place of {}",
    ),
    (
        r"\b(train_test_split|ShuffleSplit|StratifiedShuffleSplit|GroupShuffleSplit)\(",
        "pass",
        "random_state=42",
    ),
    (r"(?:(?<![\w.])|\butils\.)resample\(", "pass", "random_state=42"),  # not the method of other objects
    (r"\b(Stratified|StratifiedGroup)?KFold\((?=.*\b(?:shuffle\s*=\s*)?True\b)", "pass", "random_state=42"),
    (r"\bRepeated(Stratified)?KFold\(", "pass", "random_state=42"),
    # Arguments that only the method of pandas has.
    (r"\.sample\((?=.*\b(?:frac|weights|replace|axis|ignore_index)\s*=)", "pass", "random_state=42"),
    (r"(?<![\w.])random\.sample\(", "advise", _SEED_FIRST),
    (r"\b(split_dataset|rejection_resample|sample_from_datasets)\(", "pass", "seed=42"),
    (
        r"\b(time|time_ns|perf_counter(_ns)?|monotonic(_ns)?|now|utcnow|today|timestamp)\(",
        "advise",
        "take a constant in place of the clock",
    ),
    (r"\blist\(\s*(set|frozenset)\(", "replace", r"sorted(\1("),
    (r"\btuple\(\s*((?:set|frozenset)\([^)]*\))", "replace", r"tuple(sorted(\1)"),
    (
        r"\b(os\.listdir|os\.scandir|glob\.glob|glob\.iglob)\(|\.(iterdir|glob|rglob)\(",
        "advise",
        _SORT_LISTING,
    ),
    (
        r"\bhash\(",
        "advise",
        "take a hash that is the same in each process, such as zlib.crc32(text.encode())",
    ),
    (r"(?<!sorted\()\b(set|frozenset)\(|[={(\s]\{[^:{}]+\}", "advise", _SORT_SET),
    (r"(deterministic\s*=\s*)False", "replace", r"\1True"),
    (
        r"\bas_completed\(|\bimap_unordered\(",
        "advise",
        "collect results in submission order, for example with pool.map(...)",
    ),
    (
        r"\b(urlopen|urlretrieve|urllib\w*\.\w+|requests\.(get|post|request)|httpx\.(get|post))\(",
        "advise",
        "keep what was fetched in a file, and read that",
    ),
    (r"\bnn\.(nce_loss|sampled_softmax_loss)\(", "advise", _SEED_FIRST),  # they take no seed
    (r"\binput\(", "advise", "take it from an argument of the script"),
    # No seed of the process reaches a generator of its own.
    (r"(?<![\w.])((np|numpy)\.)?random\.(?!default_rng|seed\()[a-z_]+\(", "advise", _SEED_FIRST),
    (
        r"\bget_global_generator\(",
        "advise",
        "tf.random.set_global_generator(tf.random.Generator.from_seed(42))  # first of all",
    ),
    (
        r"\btf\.random\.\w+\(",
        "advise",
        f"{_SEED_FIRST}, or tf.random.stateless_* with a seed of its own",
    ),
    # A call whose result is not used shuffles a list in place: no dataset.
    (r"^(?!\s*[\w.]+\.shuffle\().*?\.shuffle\(", "pass", "seed=42"),
)


def suggest_fix(code: str, *, sets: Collection[str] = (), frames: Collection[str] = ()) -> str | None:
    """Return the changed line, or advice in words; None if its text names no source of nondeterminism.

    Args:
        code: the text of a statement.
        sets: names in it that hold sets.
        frames: names in it that hold tables of pandas.
    """
    if only_waits(code):
        return None

    def is_source(text: str) -> bool:
        return nondeterminism_level(text) == SOURCE

    changed = rewritten(code, is_nondeterministic=is_source, sets=sets)
    if changed is not None and changed != code:
        return changed
    for pattern, action, text in (*_of_pandas(frames), *_RULES):
        match = re.search(pattern, code)
        if match is None or (text in (_SORT_LISTING, _SORT_SET) and not may_show_order(code)):
            continue
        if action == "advise":
            return text.format(match.group(0).rstrip("("))
        changed = re.sub(pattern, text, code) if action == "replace" else _with_argument(code, text, pattern)
        if changed != code:
            return changed
    return None


def _of_pandas(frames: Collection[str]) -> Iterator[tuple[str, Literal["pass"], str]]:
    """Yield the rule for the samples of tables whose names are known."""
    names = "|".join(map(re.escape, sorted({"pd", "pandas", *frames})))
    yield rf"(?<![\w.])(?:{names})\b[^=]*?\.sample\(", "pass", "random_state=42"


def without_argument(code: str, name: str) -> str | None:
    """Return the line without a keyword argument; None if it has none or is not understood."""
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(code)):
            keyword = next((k for k in getattr(node, "keywords", ()) if k.arg == name), None)
            if keyword is not None:
                given = re.escape(ast.get_source_segment(code, keyword) or "")
                return re.sub(rf",\s*{given}|{given},?\s*", "", code, count=1)
    return None


def with_seed_argument(code: str, call: str, argument: str) -> str:
    """Return the line with a seed in a call, or advice if the line does not contain that call.

    >>> with_seed_argument("points = Sobol(d=2)", "Sobol", "rng=42")
    'points = Sobol(d=2, rng=42)'
    >>> with_seed_argument("study = create_study()", "TPESampler", "seed=42")
    'make its TPESampler with seed=42'
    """
    name = argument.partition("=")[0]
    changed = re.sub(rf"\b{name}\s*=\s*None\b", argument, code)
    if changed == code:
        changed = _with_argument(code, argument, rf"\b{re.escape(call)}\(")
    return changed if changed != code else f"make its {call} with {argument}"


def with_seeding(code: str, seeding: str) -> str:
    """Return the line that makes an object with a call that seeds it; for another line, that call alone.

    >>> with_seeding("env = make('Maze')", "env.reset(seed=42)")
    "env = make('Maze'); env.reset(seed=42)"
    >>> with_seeding("state = env.reset()", "env.reset(seed=42)")
    'env.reset(seed=42)  # once, before this line'
    """
    seeded = seeding.partition("(")[0].rpartition(".")[0]
    names = [seeded.rsplit(".", n)[0] for n in range(seeded.count(".") + 1)]
    makes = any(re.match(rf"{re.escape(name)}\s*=[^=]", code) for name in names)
    is_whole = not code.endswith("...")
    return f"{code}; {seeding}" if makes and is_whole else f"{seeding}  # once, before this line"


def with_seed(code: str) -> str | None:
    """Return the line with 42 in place of the name that seeds a generator in it; None if it has none."""
    changed = re.sub(rf"\b({GENERATORS})\(\s*[A-Za-z_][\w.]*\s*\)", r"\1(42)", code)
    changed = re.sub(r"\b(random_state|seed)\s*=\s*[A-Za-z_][\w.]*(?=\s*[,)])", r"\1=42", changed)
    return changed if changed != code else None


def with_constant(code: str) -> str | None:
    """Return the line with 42 in place of a draw from a generator of the process; None if it has none.

    >>> with_constant("seed = random.randrange(10 ** f(2))")
    'seed = 42'
    """
    draw = r"(?<![\w.])(?:(?:np|numpy)\.)?random\.\w+\((?:[^()]|\([^()]*\))*\)"
    changed = re.sub(draw, "42", code, count=1)
    return changed if changed != code else None


def with_drawn_seed(code: str) -> str | None:
    """Return the line with seeds from the process's generator in place of 42; None if it has none.

    >>> with_drawn_seed("rng = np.random.default_rng(42)")
    'rng = np.random.default_rng(np.random.randint(2**31))'
    >>> with_drawn_seed("rng = random.Random(42)")
    'rng = random.Random(random.getrandbits(32))'
    """
    changed = re.sub(r"\brandom\.Random\(42\)", "random.Random(random.getrandbits(32))", code)
    numpy = r"\b((?:np|numpy)\.random\.)?(GENERATORS)\(42\)".replace("GENERATORS", GENERATORS)
    changed = re.sub(numpy, lambda m: f"{m[1] or ''}{m[2]}({m[1] or 'np.random.'}randint(2**31))", changed)
    return changed if changed != code else None


def _with_argument(code: str, argument: str, call: str) -> str:
    """Return the code with one more argument in the first call that takes it, unless it is given."""
    name = argument.partition("=")[0]
    if f"{name}=" in code.replace(" ", ""):
        return code
    match = re.search(call, code)
    if match is None:
        return code
    depth, end = 1, match.end()
    while end < len(code) and depth:
        depth += {"(": 1, ")": -1}.get(code[end], 0)
        end += 1
    if depth:
        return code
    inside = code[match.end() : end - 1].rstrip().rstrip(",")
    return f"{code[: match.end()]}{inside}{', ' if inside.strip() else ''}{argument}{code[end - 1 :]}"
