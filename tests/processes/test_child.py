"""Start a process, wait for it and end it, with a child of a few lines instead of a training."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_repro.errors import LaunchError
from keras_repro.processes import child as launch
from keras_repro.processes.child import LAUNCHER, Launcher, Outcome
from keras_repro.processes.file_listing import FileListing
from keras_repro.processes.protocol import Plan


@pytest.fixture
def run(here: Path) -> Callable[..., Outcome]:
    """Run some lines of Python as the child's module; the plan is in `sys.argv[2]`."""

    def run_lines(lines: str, *, keep_output: bool = True, **wait: Any) -> Outcome:
        (here / "child.py").write_text(f"{lines}\ndef main(arguments): pass\n")
        folder = here / "run"
        folder.mkdir(exist_ok=True)
        plan = Plan(folder=folder, script="a.py", arguments=("--x", "1"))
        environment = dict(os.environ) | {"PYTHONPATH": str(here)}
        launcher = Launcher(module="child")
        return launcher.start(plan, environment=environment, keep_output=keep_output).wait(**wait)

    return run_lines


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # An orphan without a waiting parent stays as a zombie.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_plan_is_read_back() -> None:
    plan = Plan(
        folder=Path("/runs/a"),
        module="package.train",
        arguments=("--epochs", "5", "--", "-x"),
        seed=7,
        switches={"hash_seed": 7},
        policies={"max_epochs": 2},
        redirect=True,
    )
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_child_gets_plan_and_environment_and_its_output_is_kept(run: Any, here: Path) -> None:
    outcome = run(
        "import json, os, sys\n"
        "print(json.loads(sys.argv[2])['arguments'], repr(sys.stdin.read()), flush=True)\n"
        "print(os.getpgrp() == os.getsid(0) == os.getpid(), file=sys.stderr, flush=True)\n"
        "os.write(1, b'\\xff')\n"
        "sys.exit(7)\n"
    )
    assert outcome.code == 7
    assert 0 < outcome.seconds < 60
    assert (here / "run" / "output.txt").read_bytes() == b"['--x', '1'] ''\nTrue\n\xff"


def test_signal_is_a_negative_code(run: Any) -> None:
    assert run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").code == -9


def test_output_that_is_not_kept_goes_to_the_terminal(
    run: Any, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("print('for the terminal')", keep_output=False).code == 0
    assert capfd.readouterr().out == "for the terminal\n"
    assert list((here / "run").iterdir()) == []


def test_interruption_ends_the_child_and_its_children(run: Any, here: Path) -> None:
    def poll() -> None:
        if (here / "started").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            "import os, subprocess, sys, time\n"
            "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
            "open('pids', 'w').write(f'{os.getpid()} {other.pid}')\n"
            "try:\n    os.rename('pids', 'started')\n    time.sleep(100)\n"
            "except KeyboardInterrupt:\n    open('interrupted', 'w')\n",
            poll=poll,
        )
    assert (here / "interrupted").exists()
    child, other = map(int, (here / "started").read_text().split())
    assert has_ended(child)
    until(lambda: has_ended(other))


def test_child_that_ignores_interrupts_is_killed(
    run: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 0.3)

    def poll() -> None:
        if (here / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            "import os, signal, time\n"
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "open('part', 'w').write(str(os.getpid()))\nos.rename('part', 'pid')\ntime.sleep(100)\n",
            poll=poll,
        )
    assert has_ended(int((here / "pid").read_text()))


def test_second_interrupt_kills_the_child_at_once(
    run: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 1000)

    def poll() -> None:
        if (here / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            "import os, signal, time\n"
            "signal.signal(signal.SIGINT, lambda *_: os.kill(os.getppid(), signal.SIGINT))\n"
            "open('part', 'w').write(str(os.getpid()))\nos.rename('part', 'pid')\n"
            "while True: time.sleep(100)\n",
            poll=poll,
        )
    assert has_ended(int((here / "pid").read_text()))


def test_missing_interpreter_is_reported(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(LaunchError, match=r"^cannot start /nowhere/python: No such file or directory$"):
        run("")


def test_fork_server_starts_the_same_as_a_fresh_interpreter(
    forkserver: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It ends before the record is written: only that needs TensorFlow, which the fresh one lacks.
    (here / "script.py").write_text(
        "import os, signal, sys\n"
        "print(__name__, __file__, sys.argv, sys.path[0] == os.path.realpath('.'), sys.flags.interactive)\n"
        "print(os.getcwd(), os.environ['OF_THE_CALLER'])\n"
        "print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()))\n"
        "print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), file=sys.stderr)\n"
        "sys.stdout.flush()\n"
        "os._exit(5)\n"
    )
    monkeypatch.setenv("OF_THE_CALLER", "its own value")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    outputs = []
    for launcher in (LAUNCHER, forkserver.launcher):
        folder = here / f"run-{len(outputs)}"
        folder.mkdir()
        plan = Plan(folder=folder, script="script.py", arguments=("--x",))
        outcome = launcher.start(plan, environment=os.environ).wait()
        assert outcome.code == 5
        outputs.append(sorted((folder / "output.txt").read_text().splitlines()))
    assert outputs[0] == outputs[1]
    assert f"{here.resolve()} its own value" in outputs[0]
    assert "True ''" in outputs[0]


def test_unseeded_children_of_the_fork_server_draw_differently(
    launched: Any, written: Any, here: Path
) -> None:
    script = written(
        "import os, random, numpy as np, tensorflow as tf\n"
        "print(random.random(), np.random.rand(), float(tf.random.uniform(())))\n"
        "print(float(tf.random.get_global_generator().uniform(())), flush=True)\nos._exit(0)\n"
    )
    first = launched(script).output.split()
    (here / "run").rename(here / "first")
    second = launched(script).output.split()
    assert len(first) == len(second) == 4
    assert not set(first) & set(second)


def test_changed_files_are_listed(here: Path) -> None:
    out = here / "runs"
    for path in ("kept.txt", "changed.txt", "runs/mine.txt", "__pycache__/a.pyc", ".git/index"):
        (here / path).parent.mkdir(exist_ok=True)
        (here / path).write_text("1")
    before = FileListing.of(None, exclude=out)
    for path in ("changed.txt", "new/deep.txt", "runs/more.txt", "__pycache__/b.pyc", ".git/HEAD"):
        (here / path).parent.mkdir(exist_ok=True)
        (here / path).write_text("22")
    assert FileListing.of(None, exclude=out).changed_since(before) == ["changed.txt", "new/deep.txt"]


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    """Each test restores the signal handler."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) == before
