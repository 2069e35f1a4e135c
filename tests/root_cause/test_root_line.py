"""The line to fix: unseeded generators, defaults and decorators, coroutines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from keras_repro.root_cause.root_line import find_root_line
from keras_repro.root_cause.suspects import (
    Suspect,
)
from keras_repro.utils.source_line import SourceLine

Script = Callable[[str], Path]


def suspect(file: Path, line: int, *names: str, raced: bool = False) -> Suspect:
    code = file.read_text().splitlines()[line - 1].strip()
    return Suspect(
        source=SourceLine(file=str(file), line=line, code=code), names=names, interval=0, raced=raced
    )


def root(file: Path, *suspects: Suspect, fit: int, seeded: Mapping[str, int] | None = None) -> SourceLine:
    root_suspect = find_root_line(suspects, [SourceLine(file=str(file), line=fit)], seeded=seeded or {})
    assert root_suspect is not None
    return root_suspect.source


def test_unseeded_generator_in_a_partial_is_reported(script: Script) -> None:
    file = script("""
        def split(rng, x):
            rows = rng.permutation(len(x))
            return x[rows]
        part = partial(split, np.random.default_rng())
        x = part(data)
        model.fit(x)
    """)
    line = root(file, suspect(file, 2, "rows"), suspect(file, 5, "x"), fit=6)
    assert line.code == "part = partial(split, np.random.default_rng())"


def test_drawing_line_is_reported_for_several_generators(script: Script) -> None:
    file = script("""
        def split(rng, x):
            rows = rng.permutation(len(x))
            return x[rows]
        a = partial(split, np.random.default_rng())
        b = partial(split, np.random.default_rng())
        x = b(a(data))
        model.fit(x)
    """)
    assert root(file, suspect(file, 2, "rows"), fit=7).code == "rows = rng.permutation(len(x))"


def test_seeded_generator_is_not_reported(script: Script) -> None:
    file = script("""
        rng = np.random.default_rng(7)
        x = rng.normal(size=3)
        model.fit(x)
    """)
    assert root(file, suspect(file, 2, "x"), fit=3).code == "x = rng.normal(size=3)"


def test_draws_from_a_seeded_generator_are_a_consequence(script: Script) -> None:
    file = script("""
        rng = np.random.default_rng(7)
        rows = free_memory() // 8
        x = rng.normal(size=rows)
        y = np.random.default_rng(7).normal(size=rows)
        z = np.random.default_rng(rows).normal(size=3)
        model.fit(x, y, z)
    """)
    rows, x, y = suspect(file, 2, "rows"), suspect(file, 3, "x", "rows"), suspect(file, 4, "y", "rows")
    assert root(file, rows, x, fit=6).line == 2
    assert root(file, rows, y, fit=6).line == 2
    assert root(file, rows, replace(x, interval=-1), fit=6).line == 3  # in threads, the order may differ
    assert root(file, rows, suspect(file, 3, "x", "np.random"), fit=6).line == 3
    assert root(file, rows, suspect(file, 5, "z", "rows"), fit=6).line == 5
    assert root(file, suspect(file, 1, "rng"), rows, x, fit=6).line == 1


def test_generator_seeded_by_an_equal_value_comes_first(script: Script) -> None:
    file = script("""
        rng = np.random.RandomState(seed)
        x = rng.normal(size=3)
        model.fit(x)
    """)
    line = root(file, suspect(file, 1, "rng"), suspect(file, 2, "rng", "x"), fit=3)
    assert line.code == "rng = np.random.RandomState(seed)"


def test_default_of_an_argument_is_reported(script: Script) -> None:
    file = script("""
        def loss(y, p, weight=random.random()):
            return weight * (y - p)
        model.fit(x)
    """)
    line = root(file, suspect(file, 2, "weight"), fit=2)
    assert (line.line, line.code) == (1, "def loss(y, p, weight=random.random()):")


def test_decorator_is_reported(script: Script) -> None:
    file = script("""
        def scaled(factor):
            return lambda f: lambda x: f(x * factor)
        class Net:
            @scaled(random.random())
            def step(self, x):
                return x
    """)
    line = root(file, suspect(file, 2, "factor"), fit=2)
    assert (line.line, line.code) == (4, "@scaled(random.random())")


def test_generator_passed_to_an_object_without_values_is_reported(script: Script) -> None:
    file = script("""
        class Centres(Layer):
            def __init__(self, centres):
                self.first = centres
        clusters = KMeans(5, random_state=np.random.RandomState()).fit(x)
        model = Sequential([Centres(clusters.cluster_centers_)])
        model.fit(x)
    """)
    first, second = suspect(file, 3, "centres", "self.first"), suspect(file, 5, "clusters.cluster_centers_")
    line = root(file, first, second, fit=6)
    assert line.code == "clusters = KMeans(5, random_state=np.random.RandomState()).fit(x)"


def test_names_of_temporary_files_come_after_draws(script: Script) -> None:
    file = script("""
        folder = tempfile.mkdtemp()
        x = x + chance.gauss(0, 1)
        model.fit(load(folder), x)
    """)
    line = root(file, suspect(file, 1, "folder"), suspect(file, 2, "x"), fit=3)
    assert line.code == "x = x + chance.gauss(0, 1)"


@pytest.mark.parametrize("code", ["x = y + 1", "x.append(y)"])
def test_line_that_waits_is_not_a_source(script: Script, code: str) -> None:
    file = script(f"time.sleep(time.time() % y)\n{code}\nmodel.fit(x, y)\n")
    assert root(file, suspect(file, 1, "y"), suspect(file, 2, "x", raced=True), fit=3).code == code


DICE = """
    dice = random.SystemRandom()
    def rest(words):
        gone = np.random.randint(len(words))
        return words[gone:]
    def sometimes(words):
        return rest(words) if dice.random() < 0.5 else words
    x = sometimes(data)
    model.fit(x)
"""


def test_another_line_decides_how_often_a_seeded_generator_is_used(script: Script) -> None:
    file = script(DICE)
    suspects = [suspect(file, 3, "np.random", "gone"), suspect(file, 6, "return"), suspect(file, 7, "x")]
    assert root(file, *suspects, fit=8, seeded={"np.random": 0}).code == "dice = random.SystemRandom()"
    # Without a seed, the generator is itself a source and comes first.
    assert root(file, *suspects, fit=8).line == 3


def test_seeded_generator_is_reported_if_nothing_else_draws(script: Script) -> None:
    file = script("""
        order = np.random.permutation(9)
        model.fit(order)
    """)
    assert root(file, suspect(file, 1, "np.random", "order"), fit=2, seeded={"np.random": 0}).line == 1


# --- sets


COROUTINES = """
    async def fetch(n):
        return [n * 2]
    async def sample(n):
        page = await fetch(n)
        at = rng.randrange(3)
        return page[at]
    rows = asyncio.run(crawl(sample))
    model.fit(rows)
"""


def test_the_only_drawing_coroutine_is_reported(script: Script) -> None:
    file = script(COROUTINES)
    assert root(file, suspect(file, 2, "n", "return"), fit=8).code == "at = rng.randrange(3)"
    file = script(COROUTINES.replace("return page[at]", "return page[at] + rng.random()"))
    assert root(file, suspect(file, 2, "n", "return"), fit=8).code == "return [n * 2]"


def test_random_default_of_an_option_is_reported(script: Script) -> None:
    file = script("""
        parser.add_argument("--seed", default=os.getpid())
        args = parser.parse_args()
        keras.utils.set_random_seed(args.seed)
        model = build()
    """)
    line = root(file, suspect(file, 2, "args"), suspect(file, 3, "args", "args.seed", "random"), fit=3)
    assert line.code == 'parser.add_argument("--seed", default=os.getpid())'
