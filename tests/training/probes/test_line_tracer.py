"""Values of the user's lines are digested, and no code of the user is called."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TESTS

from keras_repro.storage.trace_file import LineEvent, ThreadLineEvent
from keras_repro.training.probes.line_tracer import LineTracer
from keras_repro.training.probes.value_digest import DigestBudget

Events = Callable[..., list[LineEvent | ThreadLineEvent]]
Watched = Callable[..., dict[int, dict[str, str]]]


@pytest.fixture
def events(tmp_path: Path) -> Events:
    """Run a text as a user's script and trace it; return the events."""

    def run(text: str, **names: Any) -> list[LineEvent | ThreadLineEvent]:
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(text))
        code = compile(path.read_text(), str(path), "exec")
        tracer, before = LineTracer(), sys.gettrace()
        tracer.start()
        try:
            exec(code, {"__name__": "__main__"} | names)
        finally:
            tracer.stop()
            sys.settrace(before)
        recorded = tracer.take()
        assert tracer.take() == []
        return recorded

    return run


@pytest.fixture
def watched(events: Events) -> Watched:
    """Like `events`; return the digests by line number and name."""

    def run(text: str, **names: Any) -> dict[int, dict[str, str]]:
        return {e.line: e.digests for e in events(text, **names) if isinstance(e, LineEvent)}

    return run


# --- values


@pytest.mark.parametrize(
    ("same", "alike", "other"),
    [
        ("1", "2 - 1", "2"),
        ("enum.Enum('E', 'A B').A", "enum.Enum('E', 'A B')['A']", "enum.Enum('E', 'A B').B"),
        ("1", "1", "1.0"),
        ("1", "1", "True"),
        ("0.1", "0.1", "0.1 + 2**-56"),
        ("0.0", "0.0", "-0.0"),
        ("float('nan')", "float('inf') - float('inf')", "1.0"),
        ("1j", "1j", "2j"),
        ("10**40", "10**40", "10**40 + 1"),
        ("None", "None", "0"),
        ("'a'", "'A'.lower()", "'b'"),
        ("'\\ud800'", "'\\ud800'", "'\\ud801'"),
        ("b'a'", "b'a'", "'a'"),
        ("bytearray(b'ab')", "bytearray(b'ab')", "bytearray(b'ac')"),
        ("[1, 2]", "list(range(1, 3))", "[2, 1]"),
        ("(1, 2)", "(1, 2)", "[1, 2]"),
        ("[1, [2, {'a': 3}]]", "[1, [2, {'a': 3}]]", "[1, [2, {'a': 4}]]"),
        ("{'a': 1, 'b': 2}", "dict(a=1, b=2)", "{'b': 2, 'a': 1}"),
        ("{0, 8}", "{8, 0}", "{0, 9}"),
        ("frozenset('ab')", "frozenset('ba')", "frozenset('a')"),
        ("[object(), 1]", "[object(), 1]", "[object(), 2]"),
        ("pathlib.Path('a/b')", "pathlib.Path('a') / 'b'", "pathlib.Path('a/c')"),
        ("datetime.date(2026, 1, 2)", "datetime.date(2026, 1, 2)", "datetime.date(2026, 1, 3)"),
        ("fractions.Fraction(1, 3)", "fractions.Fraction(2, 6)", "fractions.Fraction(1, 4)"),
        ("random.Random(1)", "random.Random(1)", "random.Random(2)"),
        ("np.arange(3)", "np.array([0, 1, 2])", "np.array([0, 1, 3])"),
        ("np.zeros(3)", "np.zeros(3)", "np.zeros(3, 'f4')"),
        ("functools.partial(max, 1)", "functools.partial(max, 1)", "functools.partial(max, 2)"),
        ("functools.partial(max, key=1)", "functools.partial(max, key=1)", "functools.partial(max, key=2)"),
        ("types.SimpleNamespace(a=1)", "types.SimpleNamespace(a=1)", "types.SimpleNamespace(a=2)"),
        ("contextvars.ContextVar('v', default=1)",) * 2 + ("contextvars.ContextVar('v', default=2)",),
        ("np.zeros((2, 3))", "np.zeros((2, 3))", "np.zeros((3, 2))"),
        ("np.arange(6).reshape(2, 3).T", "np.arange(6).reshape(2, 3).T", "np.arange(6).reshape(3, 2)"),
        (
            "np.repeat(np.arange(3000.0), 3000).reshape(3000, 3000)",  # 72 MB
            "np.repeat(np.arange(3000.0), 3000).reshape(3000, 3000)",
            "np.repeat(np.arange(3000.0)[::-1], 3000).reshape(3000, 3000)",
        ),
        ("np.float32(1)", "np.float32(1)", "np.float32(2)"),
        ("np.array(['a', 'b'], object)", "np.array(['a', 'b'], object)", "np.array(['a', 'c'], object)"),
        ("np.array([(1, 2.0)], 'i4,f4')", "np.array([(1, 2.0)], 'i4,f4')", "np.array([(1, 3.0)], 'i4,f4')"),
        ("np.array(['2020'], 'M8[D]')", "np.array(['2020'], 'M8[D]')", "np.array(['2021'], 'M8[D]')"),
        ("np.zeros((0, 3))", "np.zeros((0, 3))", "np.zeros((0, 4))"),
        ("np.array(['a', 'b'])", "np.array(['a', 'b'])", "np.array(['a', 'c'])"),
        ("np.random.default_rng(1)", "np.random.default_rng(1)", "np.random.default_rng(2)"),
        ("np.random.RandomState(1)", "np.random.RandomState(1)", "np.random.RandomState(2)"),
        ("np.random.PCG64(1)", "np.random.PCG64(1)", "np.random.PCG64(2)"),
        ("pd.Series([1, 2])", "pd.Series([1, 2])", "pd.Series([2, 1])"),
        ("pd.DataFrame({'a': [1]})", "pd.DataFrame({'a': [1]})", "pd.DataFrame({'a': [2]})"),
        ("tf.constant([1.0])", "tf.constant([1.0])", "tf.constant([2.0])"),
        ("tf.Variable([1.0])", "tf.Variable([1.0])", "tf.Variable([2.0])"),
        ("tf.constant('a')", "tf.constant('a')", "tf.constant('b')"),
        ("tf.constant(1, tf.bfloat16)", "tf.constant(1, tf.bfloat16)", "tf.constant(2, tf.bfloat16)"),
    ],
)
def test_equal_values_have_equal_digests(watched: Watched, same: str, alike: str, other: str) -> None:
    import contextvars
    import datetime
    import enum
    import fractions
    import functools
    import pathlib
    import random
    import types

    import numpy as np
    import pandas as pd
    import tensorflow as tf

    known = {m.__name__.rpartition(".")[2]: m for m in (datetime, enum, fractions, pathlib, random)}
    known |= {"contextvars": contextvars, "functools": functools, "types": types}
    known |= {"np": np, "pd": pd, "tf": tf}
    values = [watched(f"x = {text}", **known)[1]["x"] for text in (same, alike, other)]
    assert values[0] == values[1] != values[2]


def test_digests_are_the_same_in_every_process() -> None:
    code = (
        "from keras_repro.training.probes.value_digest import value_digest as digest\n"
        "import numpy as np, sys\n"
        "print(digest({'one', 'two', 'three', 4, (5, 'six')}).hex(), digest(np.arange(3.0)).hex(),\n"
        "      digest([{'a': b'b'}, frozenset({'c', 'd'}), None, 1.5]).hex(), 'tensorflow' in sys.modules)\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(TESTS.parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].split()[-1] == "False"


# --- lines


def test_changes_in_place_are_recorded(watched: Watched) -> None:
    text = """
        import numpy as np
        x = [1]
        x.append({value})
        rng = np.random.default_rng(3)
        rng.normal(size={value})
        a = np.zeros(4)
        a[{value} % 4] = 1
        def fill(values):
            values[0] = {value}
        fill(a)
    """
    first, second = watched(text.format(value=1)), watched(text.format(value=2))
    assert sorted(first) == [3, 4, 5, 6, 7, 8, 10, 11]
    assert {n for n in first if first[n] != second[n]} == {4, 6, 8, 10, 11}
    assert first[6].keys() >= {"rng"}


def test_growing_list_is_sampled(events: Events) -> None:
    text = """
        rows = []
        for number in range(2000):
            rows.append((number, {last} if number == 1999 else 0))
        end = rows
    """
    digests = []
    for last in (0, 0, 1):
        before = DigestBudget.spent
        digests.append({e.line: e.digests for e in events(text.format(last=last))})
        assert DigestBudget.spent - before < 400_000
    assert digests[0] == digests[1]
    assert digests[0][5] != digests[2][5]
    assert digests[0][3] == digests[2][3]  # small values are digested each time


def test_names_of_sets_ordered_by_hashes_are_recorded(events: Events) -> None:
    text = """
        words, numbers = {"a", "b"}, {1, 2.0, True}
        table = {"x": words}
        first = list(words) + list(numbers)
        second = list(table["x"])
    """
    sets = [e.sets for e in events(text)]
    assert sets == [("words",), ("table[]", "words"), ("words",), ("table[]",)]


OBJECTS = """
class Client:
    def __init__(self, number):
        self.number, self.asked = number, self
    def __getattr__(self, name):
        raise AssertionError(name)
class Wide(list):
    pass
client, wide = Client({number}), Wide()
clients = [client, Client(3)]
"""


def test_objects_of_the_user_in_a_list_are_distinguished(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("users_own")
    module.__file__ = str(tmp_path / "script.py")
    monkeypatch.setitem(sys.modules, "users_own", module)
    digests = [watched(OBJECTS.format(number=n), __name__="users_own")[10] for n in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]
    # An object has no value of its own: its attributes are digested if a line names them.
    assert digests[0].keys() == {"clients", "return"}  # of the module


def test_attributes_of_an_object_are_recorded(watched: Watched) -> None:
    text = """
        import random
        class Holder:
            def __init__(self, seed):
                self.rng = random.Random(seed)
                self.inner = self
                self.other = 1
            def draw(self):
                return self.inner.rng.random()
        holder = Holder({seed})
        x = holder.draw()
        y = holder.other
    """
    first, second = watched(text.format(seed=1)), watched(text.format(seed=2))
    assert first[5].keys() == {"seed", "self.rng"}
    assert first[9].keys() == {"self.inner.rng", "return"}
    assert {n for n in first if first[n] != second[n]} == {5, 9, 11}


def test_each_iteration_of_a_loop_counts(watched: Watched) -> None:
    text = """
        total = 0
        for item in {items}:
            total += item
        while total > 0:
            total -= 3
        names = [str(i) for i in {items}]
    """
    first, second = (watched(text.format(items=items)) for items in ("[1, 2, 3]", "[3, 2, 1]"))
    assert {n for n in first if first[n] != second[n]} == {3, 4, 7}
    assert first[3].keys() >= {"item"}
    assert first[5].keys() >= {"total"}


def test_line_records_when_its_values_first_differ(events: Events) -> None:
    text = "for i in range(5):\n    x = i * {}\n"
    first, second = (
        next(e for e in events(text.format(t)) if e.line == 2).runs for t in ("1", "(1 if i < 3 else 2)")
    )
    assert [count for count, _ in first] == [count for count, _ in second]
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, True, True, False, False]


def test_direction_of_a_branch_is_recorded(watched: Watched) -> None:
    text = """
        import os
        def pick():
            if os.path.exists({path!r}):
                return 1
            return 2
        pick()
    """
    first, second = watched(text.format(path="/")), watched(text.format(path="/nothing/there"))
    assert first[4].keys() == second[4].keys() == {"continues at"}
    assert first[4] != second[4]
    assert (set(first) - set(second), set(second) - set(first)) == ({5}, {6})


def test_draws_from_the_process_generators_are_recorded(watched: Watched) -> None:
    digests = watched(
        "import random\nimport numpy\nrandom.random()\nx = 1\nnumpy.random.normal()\ny = 2\nz = 3\n"
    )
    assert {n: set(digests[n]) for n in (3, 4, 5, 6)} == {
        3: {"random"}, 4: {"x"}, 5: {"np.random"}, 6: {"y"},
    }  # fmt: skip


def test_statement_over_many_lines_is_recorded_once(watched: Watched) -> None:
    text = """
        def f(x):
            return x
        value = f(
            1
            +
            f(2)
        )
    """
    assert set(watched(text)) == {3, 4}


def test_returned_values_and_lambdas_are_recorded(watched: Watched) -> None:
    text = """
        def f():
            return {value}
        g = lambda: {value} + hidden
        hidden = 1
        x = g() + f()
    """
    first, second = watched(text.format(value=1)), watched(text.format(value=2))
    assert first[3].keys() == {"return"}
    assert "hidden" not in first[4] or first[4]["hidden"] == second[4]["hidden"]
    assert {3, 6} <= {n for n in first if first[n] != second[n]}


def test_lines_in_threads_are_recorded_separately(events: Events) -> None:
    text = """
        import threading
        def work(number):
            x = number
            for i in range(3):
                y = i
        thread = threading.Thread(target=work, args=(7,))
        thread.start()
        thread.join()
        work(8)
    """
    recorded = events(text)
    other = {e.line: e.runs for e in recorded if isinstance(e, ThreadLineEvent)}
    main = {e.line for e in recorded if isinstance(e, LineEvent)}
    assert set(other) == {4, 5, 6}
    assert main == {4, 5, 6, 10}  # the last line of a script returns
    assert [number for number, _ in other[4]] == [1]
    assert [number for number, _ in other[6]] == [1, 2, 3]
    assert all(set(names) == {"y", "i"} for _, names in other[6])


def test_code_of_libraries_is_not_traced(events: Events) -> None:
    recorded = events("import textwrap\nx = textwrap.fill('a b', 3)\n")
    assert [(e.line, Path(e.file).name) for e in recorded] == [(2, "script.py")]


def test_code_objects_of_libraries_are_not_queried(watched: Watched) -> None:
    """Each query calls all audit hooks, and importing TensorFlow would cause millions of queries."""
    asked: list[str] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "object.__getattr__" and on:
            asked.append(args[1])

    on = True
    sys.addaudithook(hook)  # cannot be removed from the process
    try:
        watched("import textwrap\nfor _ in range(100):\n    textwrap.dedent(' a')")
    finally:
        on = False
    assert 0 < len(asked) < 50  # the queries of the script, and one for each file of a library


def test_line_that_runs_very_often_is_sampled(events: Events) -> None:
    first, second = (
        next(e for e in events(f"for i in range(5000):\n    x = i < {most}\n") if e.line == 2)
        for most in (4500, 5000)
    )
    assert first.digests == second.digests
    assert len(first.runs) == 64 + 8 * 6  # the first 64, then eight to each doubling up to 4096


# --- no code of the user is called


STRANGE = """
    class Base:
        pass
    class Raises:
        def _no(self, *args):
            called.append(1)
            raise RuntimeError("called")
        __getattr__ = __getattribute__ = __repr__ = __hash__ = __eq__ = __len__ = __iter__ = _no
        __bool__ = __call__ = __array__ = __float__ = __index__ = __getitem__ = __contains__ = _no
        __class__ = property(_no)
    class Slots:
        __slots__ = ("entry",)
        def __getattr__(self, name):
            called.append(1)
            raise RuntimeError("called")
    class Property:
        @property
        def value(self):
            called.append(1)
            raise RuntimeError("called")
    class Odd(list, Base):
        def __iter__(self):
            called.append(1)
            raise RuntimeError("called")
    class Nowhere:
        __module__ = None
    raises, slots, prop, odd = Raises(), Slots(), Property(), Odd()
    objects = [raises, slots, prop, odd, {1: raises}, (slots,), Nowhere()]
    def look(*given):
        kept = given
        return kept
    look(raises, slots, prop, odd, objects)
    try:
        prop.value.deeper
    except RuntimeError:
        called.clear()
    try:
        slots.entry
    except RuntimeError:
        called.clear()
    x = look(raises) is not look(slots)
    x = 7
"""


def test_no_code_of_the_user_is_called(watched: Watched) -> None:
    called: list[int] = []
    digests = watched(STRANGE, called=called)
    assert called == []
    # Tracing continued to the last line.
    last = max(digests)
    assert "x" in digests[last]
    assert digests[last]["x"] != digests[last - 1]["x"]


def test_generators_and_files_are_not_advanced(watched: Watched) -> None:
    text = """
        steps = (i for i in range(3))
        kept = steps
        first = next(steps)
        file = open(__file__)
        kept = file
        line = file.readline()
        rest = list(steps)
        file.close()
    """
    namespace: dict[str, Any] = {"__file__": __file__}
    assert watched(text + "    out.append((first, line, rest))\n", out=(out := []), **namespace)
    assert out == [(0, f'"""{__doc__}"""\n', [1, 2])]


def test_error_of_the_user_passes_unchanged(watched: Watched) -> None:
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        watched("x = 1\ny = x / 0\n")


def test_nothing_is_recorded_after_stop(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("def f():\n    x = 1\n    end()\n    y = 2\nf()\n")
    tracer, before = LineTracer(), sys.gettrace()
    tracer.start()
    try:
        exec(compile(path.read_text(), str(path), "exec"), {"end": tracer.stop})
    finally:
        tracer.stop()
        sys.settrace(before)
    assert [e.line for e in tracer.take()] == [2]


def test_different_values_of_a_name_are_counted_over_all_runs(events: Events) -> None:
    recorded = events(
        """
        import numpy as np
        rng = np.random.default_rng(3)
        for number in range(4):
            noise = rng.normal(size=5)
            flip = noise[0] > 0
            same = np.arange(6)
            small = number % 2
            np.random.rand()
        """
    )
    varied = {e.line: dict(e.varied) for e in recorded if isinstance(e, LineEvent)}
    assert varied[5]["noise"] == (4, 4)
    assert varied[7]["same"] == (1, 4)
    # Truth values and small numbers repeat by chance.
    assert (varied[6].keys() & {"flip"}, varied[8]) == (set(), {})
    # The generator of the process, for the line that draws from it.
    assert varied[9]["np.random"] == (4, 4)
