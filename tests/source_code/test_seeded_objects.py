"""How objects of a library are given a seed: a script per shape, and a library that asks for the way."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from keras_repro.source_code.fixes import with_seed_argument, with_seeding

LIBRARY = """
import functools
import sys

from keras_repro.source_code.seeded_objects import seed_way

ways = []


def generator():
    ways.append(seed_way(sys._getframe()))


def decorated(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)
    return call


class BaseSampler:
    pass


class Sampler(BaseSampler):
    def __init__(self, low=0, seed=None):
        self.seed = seed
    def draw(self):
        return generator()


class Study:
    def __init__(self, sampler, pruner=None):
        self.sampler = sampler
    def ask(self):
        return Trial(self)
    def optimize(self, objective):
        objective(Trial(self))


class Trial:
    def __init__(self, study):
        self.study = study
    def suggest(self):
        return self.study.sampler.draw()


@decorated
def create_study(*, pruner=None, sampler: BaseSampler | None = None):
    return Study(sampler or Sampler())


class Shuffled:
    def __init__(self, seed=None):
        generator()


class Pipeline(Shuffled):
    def __init__(self, steps, **kwargs):
        super().__init__(**kwargs)


class Fixed(Shuffled):
    def __init__(self, steps):
        super().__init__()


class Space:
    def sample(self):
        return generator()
    def seed(self, seed=None):
        pass


class Env:
    def __init__(self):
        self.action_space = Space()
    def reset(self, *, seed=None):
        return generator()


class Wrapper:
    def __init__(self, env):
        self.env = env
    @property
    def action_space(self):
        return self.env.action_space
    def reset(self, *, seed=None):
        return self.env.reset(seed=seed)


def make():
    return Wrapper(Wrapper(Env()))


def fmin(objective, rstate=None):
    generator()


def draw():
    generator()
"""


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> list[Any]:
    packages = folder / "site-packages"
    packages.mkdir()
    (packages / "games.py").write_text(LIBRARY)
    (folder / "script.py").write_text(script)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.delitem(sys.modules, "games", raising=False)
    try:
        runpy.run_path(str(folder / "script.py"))
        return list(sys.modules["games"].ways)
    finally:
        sys.modules.pop("games", None)


@pytest.mark.parametrize(
    ("script", "fix"),
    [
        ("import games\nx = games.Pipeline([])", "x = games.Pipeline([], seed=42)"),
        ("import games\nx = games.Fixed([])", "none"),
        ("import games\nx = games.Pipeline([], seed=None)", "x = games.Pipeline([], seed=42)"),
        ("from games import Pipeline as P\nx = P([])", "x = P([], seed=42)"),
        ("from games import fmin\nb = fmin(abs)", "b = fmin(abs, rstate=np.random.default_rng(42))"),
        ("from games import draw\nx = draw()", "none"),
        (
            "import games\ns = games.create_study()\ns.optimize(lambda t: t.suggest())",
            "s = games.create_study(sampler=games.Sampler(seed=42))",
        ),
        (
            "from games import *\ns = create_study()\nt = s.ask()\nt.suggest()",
            "s = create_study(sampler=Sampler(seed=42))",
        ),
        (
            "from games import create_study\ns = create_study()\ns.ask().suggest()",
            "s = create_study(sampler=games.Sampler(seed=42))",
        ),
        (
            "import games\ns = games.create_study(sampler=games.Sampler(low=1))\nt = s.ask()\nt.suggest()",
            "s = games.create_study(sampler=games.Sampler(low=1, seed=42))",
        ),
        (
            "from games import *\nsampler = Sampler()\ns = create_study(sampler=sampler)\ns.ask().suggest()",
            "sampler = Sampler(seed=42)",
        ),
        ("import games\ne = games.make()\ne.reset()", "e = games.make(); e.reset(seed=42)"),
        (
            "import games\ndef play(e):\n    e.reset()\nworld = games.make()\nplay(world)",
            "world = games.make(); world.reset(seed=42)",
        ),
        (
            "import games\nclass A:\n  def __init__(self):\n    self.e = games.make()\n"
            "  def run(self):\n    self.e.action_space.sample()\nA().run()",
            "self.e = games.make(); self.e.action_space.seed(42)",
        ),
        ("import games\ngames.make().reset()", "none"),
    ],
)
def test_seed_is_given_where_the_object_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, fix: str
) -> None:
    (way,) = run(tmp_path, monkeypatch, script)
    code = script.splitlines()[-1] if way.made is None else way.made.code
    if way.call:
        assert with_seed_argument(code, way.call, way.argument) == fix
    else:
        assert (with_seeding(code, way.seeding) if way.seeding else "none") == fix
