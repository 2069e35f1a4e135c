"""Which line is the one to fix: generators behind a draw, heads of definitions, threads that race."""

from pathlib import Path
from typing import Any

import pytest

from keras_repro.root_cause.suspects import (
    Suspect,
    entropy_suspects,
    find_root_line,
    reading_suspects,
    suspects_of,
    thread_suspects,
)
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.rewrite import iterates_over
from keras_repro.storage.trace_file import Event, Interval


def suspect(file: Path, line: int, *names: str, raced: bool = False) -> Suspect:
    code = file.read_text().splitlines()[line - 1].strip()
    return Suspect(file=str(file), line=line, code=code, names=names, interval=0, raced=raced)


def root(file: Path, *suspects: Suspect, fit: int) -> str:
    found = find_root_line(suspects, [{"file": str(file), "line": fit}])
    assert found is not None
    return found.code


@pytest.fixture
def script(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "train.py"
        path.write_text(text)
        return path

    return write


def test_the_generator_in_a_partial_is_named(script) -> None:
    file = script(
        "def split(rng, x):\n    rows = rng.permutation(len(x))\n    return x[rows]\n"
        "part = partial(split, np.random.default_rng())\nx = part(data)\nmodel.fit(x)\n"
    )
    said = root(file, suspect(file, 2, "rows"), suspect(file, 5, "x"), fit=6)
    assert said == "part = partial(split, np.random.default_rng())"


def test_of_several_generators_none_is_guessed(script) -> None:
    file = script(
        "def split(rng, x):\n    rows = rng.permutation(len(x))\n    return x[rows]\n"
        "a = partial(split, np.random.default_rng())\nb = partial(split, np.random.default_rng())\n"
        "x = b(a(data))\nmodel.fit(x)\n"
    )
    assert root(file, suspect(file, 2, "rows"), fit=7) == "rows = rng.permutation(len(x))"


def test_a_seeded_generator_is_not_named(script) -> None:
    file = script("rng = np.random.default_rng(7)\nx = rng.normal(size=3)\nmodel.fit(x)\n")
    assert root(file, suspect(file, 2, "x"), fit=3) == "x = rng.normal(size=3)"


def test_a_generator_made_of_what_agrees_comes_first(script) -> None:
    file = script("rng = np.random.RandomState(seed)\nx = rng.normal(size=3)\nmodel.fit(x)\n")
    said = root(file, suspect(file, 1, "rng"), suspect(file, 2, "rng", "x"), fit=3)
    assert said == "rng = np.random.RandomState(seed)"


def test_the_default_of_an_argument_is_named(script) -> None:
    file = script("def loss(y, p, weight=random.random()):\n    return weight * (y - p)\nmodel.fit(x)\n")
    found = find_root_line([suspect(file, 2, "weight")], [{"file": str(file), "line": 2}])
    assert found is not None
    assert (found.line, found.code) == (1, "def loss(y, p, weight=random.random()):")


def test_a_decorator_is_named(script) -> None:
    file = script(
        "def scaled(factor):\n    return lambda f: lambda x: f(x * factor)\n"
        "class Net:\n    @scaled(random.random())\n    def step(self, x):\n        return x\n"
    )
    found = find_root_line([suspect(file, 2, "factor")], [{"file": str(file), "line": 2}])
    assert found is not None
    assert (found.line, found.code) == (4, "@scaled(random.random())")


def test_a_generator_that_is_handed_to_what_shows_no_value_is_named(script) -> None:
    file = script(
        "class Centres(Layer):\n    def __init__(self, centres):\n        self.first = centres\n"
        "found = KMeans(5, random_state=np.random.RandomState()).fit(x)\n"
        "model = Sequential([Centres(found.cluster_centers_)])\nmodel.fit(x)\n"
    )
    first, second = suspect(file, 3, "centres", "self.first"), suspect(file, 5, "found.cluster_centers_")
    assert (
        root(file, first, second, fit=6) == "found = KMeans(5, random_state=np.random.RandomState()).fit(x)"
    )


def test_names_that_hold_sets(script) -> None:
    file = script(
        "a = {'x', 'y'} | more\nb = set(words)\nc = [1]\nd = {Node(i) for i in c}\nself.e = frozenset(c)\n"
    )
    code = SourceModel({str(file)})
    assert code.sets() == {"a", "b", "self.e"}
    assert code.sets(of_objects=True) == {"d"}


def test_the_lines_of_a_statement(script) -> None:
    file = script("layers = [\n    Dense(3),\n    Dropout(0.5),\n]\nfor layer in layers:\n    pass\n")
    code = SourceModel({str(file)})
    assert code.lines_of(str(file), 2) == [
        (1, "layers = ["),
        (2, "Dense(3),"),
        (3, "Dropout(0.5),"),
        (4, "]"),
    ]
    assert code.lines_of(str(file), 5) == []


def test_names_of_temporary_files_come_after_draws(script) -> None:
    file = script("folder = tempfile.mkdtemp()\nx = x + chance.gauss(0, 1)\nmodel.fit(load(folder), x)\n")
    assert (
        root(file, suspect(file, 1, "folder"), suspect(file, 2, "x"), fit=3) == "x = x + chance.gauss(0, 1)"
    )


def test_a_line_that_waits_is_no_source(script) -> None:
    file = script("time.sleep(time.time() % y)\nx = y + 1\nmodel.fit(x)\n")
    assert root(file, suspect(file, 1, "y"), suspect(file, 2, "x", raced=True), fit=3) == "x = y + 1"
    file = script("time.sleep(time.time() % y)\nx.append(y)\nmodel.fit(x, y)\n")
    assert root(file, suspect(file, 1, "y"), suspect(file, 2, "x", raced=True), fit=3) == "x.append(y)"


def runs(*digests: str) -> list[Interval]:
    seen = [[i + 1, {"item": d}] for i, d in enumerate(digests)]
    event = Event(kind="thread line", key="a", value=None, info={"file": "a.py", "line": 3, "seen": seen})
    return [Interval(soft=(event,), hard=None)]


def test_threads_that_came_by_in_another_order_raced() -> None:
    assert [s.raced for s in thread_suspects(runs("a", "b", "c"), runs("b", "a", "c"))] == [True]
    assert [s.raced for s in thread_suspects(runs("a", "b", "c"), runs("a", "d", "c"))] == [False]
    assert thread_suspects(runs("a", "b"), runs("a", "b")) == []


def test_the_set_of_an_event_is_no_set(script) -> None:
    assert not SourceModel({str(script("stop = threading.Event()\nstop.set()\n"))}).uses_hashes()
    assert SourceModel({str(script("names = list(set(words))\n"))}).uses_hashes()


def test_only_statement(script) -> None:
    file = script("options = tf.data.Options()\noptions.deterministic = False\n")
    found = SourceModel({str(file)}).only_statement(r"deterministic\s*=\s*False")
    assert found == {"file": str(file), "line": 2, "code": "options.deterministic = False"}
    file = script("a.deterministic = False\nb.deterministic = False\n")
    assert SourceModel({str(file)}).only_statement(r"deterministic\s*=\s*False") is None


def test_a_line_that_only_the_other_run_came_by_is_none() -> None:
    lone = {"kind": "line", "interval": 0, "key": "a", "mine": None, "other": {"value": {}, "info": {}}}
    assert suspects_of([lone]) == []


# --- lines that read what an earlier run has left


def _opened(file: str, line: int, *, other: bool, script: str, interval: int = 0) -> dict[str, Any]:
    info = {"file": file, "source": {"file": script, "line": line}}
    mine = {"value": "aa", "info": info}
    return {
        "interval": interval,
        "kind": "opened",
        "key": f"{file} {script}:{line}",
        "mine": mine,
        "other": {"value": "bb", "info": info} if other else None,
    }


def test_lines_that_read_what_was_left(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "weights = load('last.npy')\nmodel.load_weights('w.h5')\nx = load('tmp8f3a.npy')\nfit(weights)\n"
    )
    differences = [
        _opened("/w/last.npy", 1, other=False, script=str(script)),
        _opened("/w/w.h5", 2, other=True, script=str(script)),
        _opened("/w/tmp8f3a.npy", 3, other=False, script=str(script)),  # a name of this run alone
    ]
    found = reading_suspects(differences, {"/w/last.npy"})
    assert [(s.line, s.reads, s.names) for s in found] == [
        (1, "last.npy", ("weights",)),
        (2, "w.h5", ("model",)),
    ]
    assert find_root_line(found, [{"file": str(script), "line": 4}], strict=True) == found[0]


# --- a generator that is seeded, and one that is not


DICE = (
    "dice = random.SystemRandom()\n"
    "def one(words):\n    gone = np.random.randint(len(words))\n    return words[gone:]\n"
    "def sometimes(words):\n    return one(words) if dice.random() < 0.5 else words\n"
    "x = sometimes(data)\nmodel.fit(x)\n"
)


def test_how_often_a_seeded_generator_is_drawn_from_another_line_decides(script) -> None:
    file = script(DICE)
    suspects = [suspect(file, 3, "np.random", "gone"), suspect(file, 6, "return"), suspect(file, 7, "x")]
    sinks = [{"file": str(file), "line": 8}]
    found = find_root_line(suspects, sinks, seeded={"np.random"})
    assert found is not None
    assert found.code == "dice = random.SystemRandom()"
    # Without a seed it is a source itself, and comes first.
    found = find_root_line(suspects, sinks)
    assert found is not None
    assert found.line == 3


def test_a_seeded_generator_is_named_where_nothing_else_draws(script) -> None:
    file = script("order = np.random.permutation(9)\nmodel.fit(order)\n")
    found = find_root_line(
        [suspect(file, 1, "np.random", "order")], [{"file": str(file), "line": 2}], seeded={"np.random"}
    )
    assert found is not None
    assert found.line == 1


# --- sets


def line(file: Path, number: int, mine: dict[str, str], other: dict[str, str], **info: Any) -> dict[str, Any]:
    told = {"file": str(file), "line": number, "seen": [[number, "x"]], **info}
    return {
        "kind": "line",
        "interval": 0,
        "key": f"{file}:{number}",
        "mine": {"value": mine, "info": told},
        "other": {"value": other, "info": {**told, "seen": []}},
    }


SETS = (
    "for choice in list(others)[:1]:\n    words.append(choice)\n"
    "known = sorted({w for ws in table for w in ws})\nmodel.fit(words, known)\n"
)


def test_a_line_that_goes_through_a_set_comes_first(script) -> None:
    file = script(SETS)
    chosen = line(file, 1, {"choice": "a"}, {"choice": "b"}, sets=["others"])
    later = line(file, 2, {"words": "a"}, {"words": "b"})
    found = find_root_line(suspects_of([chosen, later]), [{"file": str(file), "line": 4}])
    assert found is not None
    assert found.line == 1
    assert found.sets == ("others",)


def test_what_is_gone_through_in_another_order_to_the_same_end_is_no_suspect(script) -> None:
    file = script(SETS)
    same = line(file, 3, {"w": "a", "known": "k", "return": "r"}, {"w": "b", "known": "k", "return": "s"})
    assert suspects_of([same]) == []
    other = line(file, 3, {"w": "a", "known": "k"}, {"w": "b", "known": "l"})
    assert [s.line for s in suspects_of([other])] == [3]
    unknown = line(file, 3, {"w": "a"}, {"w": "b"})  # what has no digest may differ
    assert [s.line for s in suspects_of([unknown])] == [3]


@pytest.mark.parametrize(
    ("code", "sets", "goes"),
    [
        ("for x in names:", {"names"}, True),
        ("for x in sorted(names):", {"names"}, False),
        ("x = names.pop()", {"names"}, True),
        ("x = names.pop(0)", {"names"}, False),
        ("x = list(graph[node])", {"graph[]"}, True),
        ("x = list(graph[node])", {"graph"}, False),
        ("x = len(names)", {"names"}, False),
        ("x = (", {"x"}, False),
    ],
)
def test_taking_the_order_of_a_set(code: str, sets: set[str], goes: bool) -> None:
    assert iterates_over(code, sets) is goes


# --- what no value shows


def test_a_line_that_asks_the_system_is_a_source(script) -> None:
    file = script("def shake(layer, rng=None):\n    layer.assign(noise(rng))\nmodel.fit(x)\n")
    asked = {
        "kind": "entropy",
        "interval": 1,
        "key": f"{file}:2",
        "mine": {"value": "a", "info": {"source": {"file": str(file), "line": 2}}},
        "other": {"value": "b", "info": {"source": {"file": str(file), "line": 2}}},
    }
    (found,) = entropy_suspects([asked, asked])
    assert (found.line, found.code, found.interval) == (2, "layer.assign(noise(rng))", 1)
    assert find_root_line([found], [{"file": str(file), "line": 3}]) == found
    assert entropy_suspects([asked], cleared={f"{file}:2"}) == []
    assert entropy_suspects([{**asked, "mine": None}]) == []


def test_coroutines_that_come_by_in_another_order_draw(script) -> None:
    text = (
        "async def fetch(n):\n    return [n * 2]\n"
        "async def sample(n):\n    page = await fetch(n)\n    at = rng.randrange(3)\n    return page[at]\n"
        "rows = asyncio.run(crawl(sample))\nmodel.fit(rows)\n"
    )
    file = script(text)
    assert root(file, suspect(file, 2, "n", "return"), fit=8) == "at = rng.randrange(3)"
    two = script(text.replace("    return page[at]\n", "    return page[at] + rng.random()\n"))
    assert root(two, suspect(two, 2, "n", "return"), fit=8) == "return [n * 2]"
