"""A fix as a change of a file's text: statements of many kinds, calls that must come first, imports."""

from __future__ import annotations

import ast

import pytest

from keras_repro.source_code.fix_edit import (
    changed_statement,
    moved_call,
    placed_call,
    with_first_call,
    with_moved_call,
)
from keras_repro.source_code.fixes import suggest_fix
from keras_repro.source_code.statements import SourceFile

SEED = "keras.utils.set_random_seed(42)"

# A text, the number of a line, the fix, and the changed text.
CHANGED = [
    ("a = 1\nrng = default_rng()\n", 2, "rng = default_rng(42)", "a = 1\nrng = default_rng(42)\n"),
    (  # the indentation stays
        "def f():\n    if x:\n        rng = default_rng()  # mine\n",
        3,
        "rng = default_rng(42)  # mine",
        "def f():\n    if x:\n        rng = default_rng(42)  # mine\n",
    ),
    (  # several lines, with a comment inside
        "x = make(\n    default_rng(),  # unseeded\n    3,\n)\n",
        1,
        "x = make( default_rng(42),  # unseeded 3, )",
        "x = make(\n    default_rng(42),  # unseeded\n    3,\n)\n",
    ),
    (  # one line of several
        "x = make(\n    default_rng(),\n    3,\n)\n",
        2,
        "default_rng(42),",
        "x = make(\n    default_rng(42),\n    3,\n)\n",
    ),
    (  # the head of a loop
        "for n in {1, 'a'}:\n    f(n)\n",
        1,
        "for n in sorted({1, 'a'}):",
        "for n in sorted({1, 'a'}):\n    f(n)\n",
    ),
    (  # the head of a loop around the line
        "for n in names:\n    total = total + 1 / f(n)\n",
        2,
        "for n in sorted(names):",
        "for n in sorted(names):\n    total = total + 1 / f(n)\n",
    ),
    (  # an argument at the end of several lines
        "data = (\n    data.map(f)\n    .shuffle(100)\n)\n",
        1,
        "data = ( data.map(f) .shuffle(100, seed=42) )",
        "data = (\n    data.map(f)\n    .shuffle(100, seed=42)\n)\n",
    ),
    (  # an argument is left out
        "data = data.map(f, num_parallel_calls=4).batch(8)\n",
        1,
        "data = data.map(f).batch(8)",
        "data = data.map(f).batch(8)\n",
    ),
    (  # a definition, by its default
        "def f(rng=Random()):\n    return rng\n",
        1,
        "def f(rng=Random(42)):",
        "def f(rng=Random(42)):\n    return rng\n",
    ),
    (  # Windows
        "a = 1\r\nrng = default_rng()\r\n",
        2,
        "rng = default_rng(42)",
        "a = 1\r\nrng = default_rng(42)\r\n",
    ),
    (  # an import that the fix needs, after the docstring
        '"""Doc."""\nfrom __future__ import annotations\nimport os\nn = hash(os)\n',
        4,
        "n = zlib.crc32(str(os).encode())",
        '"""Doc."""\nfrom __future__ import annotations\nimport zlib\nimport os\n'
        "n = zlib.crc32(str(os).encode())\n",
    ),
    (  # the file's own name of a module
        "import random as chance\nk = urandom(4)\n",
        2,
        "k = random.randbytes(4)",
        "import random as chance\nk = chance.randbytes(4)\n",
    ),
]


@pytest.mark.parametrize(("text", "line", "fix", "expected"), CHANGED)
def test_statement_is_changed(text: str, line: int, fix: str, expected: str) -> None:
    assert changed_statement(text, line, fix) == expected


ADVICE = [
    "end the training after a number of steps or epochs, not of seconds",
    "take a constant in place of the clock",
    "input",
    "collect results in submission order, for example with pool.map(...)",
    "rng = default_rng(unknown_name)",  # the file has no such name
    "rng = default_rng(42",
    "rng = default_rng()",  # no change
]


@pytest.mark.parametrize("fix", ADVICE)
def test_advice_is_no_change(fix: str) -> None:
    assert changed_statement("rng = default_rng()\n", 1, fix) is None


def test_text_that_is_no_python_is_not_changed() -> None:
    assert changed_statement("rng = (default_rng(\n", 1, "rng = (default_rng(42") is None
    assert with_first_call("x = = 1\n", SEED) is None


def test_line_outside_of_the_file_is_not_changed() -> None:
    assert changed_statement("rng = default_rng()\n", 7, "rng = default_rng(42)") is None


def test_cut_text_of_a_long_statement_is_changed(tmp_path) -> None:
    path = tmp_path / "long.py"
    path.write_text(f"x = f(default_rng(), {'a, ' * 80})\n")
    code = SourceFile(str(path)).text_at(1)
    assert code.endswith("...")
    fix = suggest_fix(code)
    assert fix is not None
    assert changed_statement(path.read_text(), 1, fix) == path.read_text().replace("rng()", "rng(42)")


FIRST = [
    # After the import of the module, before the line.
    ("import keras\nimport numpy as np\nx = 1\n", 3, f"import keras\n{SEED}\nimport numpy as np\nx = 1\n"),
    ("import keras as k\nx = 1\n", 2, "import keras as k\nk.utils.set_random_seed(42)\nx = 1\n"),
    ("from tensorflow import keras\nx = 1\n", 2, f"from tensorflow import keras\n{SEED}\nx = 1\n"),
    # With an import, if the line comes before that of the file, or if there is none.
    ("x = 1\nimport keras\n", 1, f"import keras\n{SEED}\nx = 1\nimport keras\n"),
    ("from keras import layers\nx = 1\n", 2, f"import keras\n{SEED}\nfrom keras import layers\nx = 1\n"),
    # Settings of the environment must come before the import.
    (
        '"""Doc."""\nimport os\nos.environ["A"] = "1"\nimport data\nx = 1\n',
        None,
        f'"""Doc."""\nimport os\nos.environ["A"] = "1"\nimport keras\n{SEED}\nimport data\nx = 1\n',
    ),
    ("", None, f"import keras\n{SEED}\n"),
]


@pytest.mark.parametrize(("text", "before", "expected"), FIRST)
def test_call_comes_first(text: str, before: int | None, expected: str) -> None:
    assert with_first_call(text, SEED, before=before) == expected


def test_call_of_tensorflow_gets_its_import() -> None:
    call = "tf.random.set_global_generator(tf.random.Generator.from_seed(42))"
    assert with_first_call("x = 1\n", call) == f"import tensorflow as tf\n{call}\nx = 1\n"
    assert with_first_call("import tensorflow\nx = 1\n", call, before=2) == (
        f"import tensorflow\n{call.replace('tf.', 'tensorflow.')}\nx = 1\n"
    )


def test_call_is_moved_up_and_its_place_keeps_a_statement() -> None:
    text = "import keras\nS = 3\nx = draw()\nif x:\n    keras.utils.set_random_seed(S)\n"
    assert with_moved_call(text, 5, before=3) == (
        "import keras\nS = 3\nkeras.utils.set_random_seed(S)\nx = draw()\nif x:\n    pass\n"
    )


def test_call_whose_argument_comes_later_is_not_moved() -> None:
    text = "import keras\nx = draw()\nS = x\nkeras.utils.set_random_seed(S)\n"
    moved = with_moved_call(text, 4, before=2)
    # Its argument does not exist yet: the script itself then says so.
    assert moved is not None
    assert ast.unparse(ast.parse(moved).body[1]) == "keras.utils.set_random_seed(S)"


def test_call_with_a_place_is_recognized() -> None:
    assert placed_call(f"{SEED}  # first of all, or a seed") == (SEED, "first of all, or a seed")
    assert placed_call("rng = default_rng(42)  # mine") is None
    assert placed_call("sort by a key (any)") is None
    assert moved_call(f"{SEED}  # move it up: a.py:9 runs after a.py:4") == (9, 4)
    assert moved_call(f"{SEED}  # first of all") is None
