"""Recorded facts of a run's environment, and their redaction."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from keras_repro.provenance import environment
from keras_repro.provenance.environment import gather
from keras_repro.provenance.redaction import redact_arguments, redact_path

NAMES = ["python", "packages", "cpu", "memory_bytes", "gpu", "os", "git", "variables"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "train.py").write_text("print(1)\n")
    git(folder, "add", "train.py")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    git(folder, *identity, "commit", "--quiet", "-m", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_facts_are_complete_and_json() -> None:
    facts = gather()
    assert list(facts) == NAMES
    assert json.loads(json.dumps(facts)) == facts
    assert facts["python"]["version"] == platform.python_version()
    assert facts["python"]["implementation"] == platform.python_implementation()
    assert facts["os"]["system"] == platform.system()
    assert facts["memory_bytes"] > 2**20
    assert facts["cpu"]["available"] == len(os.sched_getaffinity(0))
    assert facts["cpu"]["logical"] == os.cpu_count()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="checks the flags of x86-64")
def test_cpu_flags_are_those_of_kernels() -> None:
    cpu = gather()["cpu"]
    text = Path("/proc/cpuinfo").read_text()
    assert cpu["model"] in text
    assert ("avx2" in cpu["flags"]) == (" avx2 " in text)
    assert ("fma" in cpu["flags"]) == (" fma " in text)
    assert not {"fpu", "smep", "mmx"} & set(cpu["flags"])


def test_every_installed_package_is_listed_once() -> None:
    packages = gather()["packages"]
    assert list(packages) == sorted(packages)
    for distribution in distributions():
        name = distribution.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        assert name in packages
    assert packages["numpy"] == sys.modules["numpy"].__version__ if "numpy" in sys.modules else True


def test_first_of_two_packages_is_listed(tmp_path: Path, monkeypatch: Any) -> None:
    for place, version in (("first", "1.0"), ("second", "2.0")):
        folder = tmp_path / place / f"Some_Package-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: Some.Package\nVersion: {version}\n\nVersion: 9\n"
        )
        (tmp_path / place / "Broken-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "second"))
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    packages = gather()["packages"]
    assert packages["some-package"] == "1.0"
    assert "broken" not in packages


def test_git_commit_and_changes(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert gather(repository)["git"] == {"commit": commit, "dirty": False}
    (repository / "untracked").write_text("")
    assert gather(repository)["git"] == {"commit": commit, "dirty": False}
    (repository / "train.py").write_text("print(2)\n")
    assert gather(repository)["git"] == {"commit": commit, "dirty": True}


def test_git_is_that_of_the_folder(repository: Path, tmp_path: Path, monkeypatch: Any) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert gather(elsewhere)["git"] is None
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    assert gather(elsewhere)["git"] is None
    monkeypatch.delenv("GIT_DIR")
    git(elsewhere, "init", "--quiet")
    assert gather(elsewhere)["git"] == {"commit": None, "dirty": False}


def test_git_runs_nothing_and_writes_nothing(repository: Path, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(hook))
    index = repository / ".git" / "index"
    before = index.read_bytes()
    os.utime(repository / "train.py", (1, 1))  # a status that may lock would refresh the index
    assert gather(repository)["git"]["dirty"] is False
    assert index.read_bytes() == before
    assert not (tmp_path / "was-run").exists()


def test_failed_fact_is_none_and_the_others_remain(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    facts = gather(tmp_path / "nowhere")
    assert facts["git"] is None
    assert facts["python"] is not None
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setattr(environment, "_SECONDS", 0.2)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert gather(tmp_path)["git"] is None


def test_only_listed_variables_are_recorded(monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter-two")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "/somewhere/hunter-two")
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setenv("OMP_PLACES", "{0:4}")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    facts = gather()
    assert "hunter-two" not in json.dumps(facts)
    variables = facts["variables"]
    assert variables["TF_DETERMINISTIC_OPS"] == "1"
    assert variables["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert variables["OMP_PLACES"] == "{0:4}"
    assert variables["TZ"] == "Europe/Berlin"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("XLA_FLAGS", "--xla_dump_to=/home/ada/x --xla_gpu_x=2", "--xla_dump_to=<hidden> --xla_gpu_x=2"),
        ("TF_XLA_FLAGS", "--tf_xla_auto_jit=-1", "--tf_xla_auto_jit=-1"),
        ("TF_XLA_FLAGS", "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit", None),
        ("TZ", ":/home/ada/zone", "<hidden>"),
        ("CUDA_VISIBLE_DEVICES", "0,1", "0,1"),
        ("CUDA_VISIBLE_DEVICES", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "<hidden>"),
        ("LANG", "de_DE.UTF-8", "de_DE.UTF-8"),
        ("KERAS_BACKEND", "/home/ada", "<hidden>"),
    ],
)
def test_private_values_of_variables_are_hidden(
    name: str, value: str, shown: str | None, monkeypatch: Any
) -> None:
    monkeypatch.setenv(name, value)
    assert gather()["variables"][name] == (value if shown is None else shown)


def test_no_local_path_or_host_is_recorded(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = json.dumps(gather())
    for private in (str(Path.home()) + "/", str(tmp_path), sys.prefix, sys.executable):
        assert private not in text
    host = socket.gethostname()
    assert host == "localhost" or f'"{host}"' not in text


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from keras_repro.provenance.environment import gather; gather(); "
        "print([m for m in ('tensorflow', 'keras', 'numpy') if m in sys.modules])"
    )
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


H = "<hidden>"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], []),
        (["--epochs", "5", "--max-steps", "-1e-3", "--encoder-lr=.5", "--beta_2", "0.99"], None),
        (["--optimizer=adam", "--lr-schedule", "cosine", "--backbone", "resnet50", "--dtype=float16"], None),
        (["--use-xla", "true", "-x=None", "--shuffle", "FALSE", "--augment"], None),
        (["--seed", "12345678901234"], ["--seed", H]),  # a number with more than 12 digits
        # Only the value of a known option, and only a number or a word of the expected kind.
        (["--units", "64", "32"], ["--units", "64", H]),
        (
            ["--lr", "secret", "--optimizer", "S3cret", "--optimizer=5"],
            ["--lr", H, "--optimizer", H, f"--optimizer={H}"],
        ),
        (["-p", "secret", "-n", "5", "--pat", "secret"], ["-p", H, "-n", H, "--pat", H]),
        (["--pin", "4711", "--ssn=078051120", "--number", "5"], ["--pin", H, f"--ssn={H}", "--number", H]),
        (["train", "4", "resnet", "Alice"], [H, H, H, H]),
        (["--name", "alice@example.org"], ["--name", H]),
        (["--api-key", "abc", "--epochs", "5"], ["--api-key", H, "--epochs", "5"]),
        (["--token", "5"], ["--token", H]),
        (["--token", "abc", "5", "--epochs", "5"], ["--token", H, H, "--epochs", "5"]),
        (["--token", "true", "data", "--x", "data"], ["--token", H, H, "--x", "data"]),
        (["--password=abc", "run"], [f"--password={H}", H]),
        # It may be a value, so it is hidden.
        (["--password", "--epochs", "5"], ["--password", H, H]),
        (["--auth", "--token", "abc"], ["--auth", H, H]),
        (["--MY_SECRET=1", "--user", "alice"], [f"--MY_SECRET={H}", "--user", H]),
        (["--url", "postgres", "--db=postgres://u:p@h/x"], ["--url", H, f"--db={H}"]),
        (["--patience", "3", "--design=deep"], ["--patience", "3", f"--design={H}"]),
        (["-pSECRET", "-x=1", "KEY=value"], [H, f"-x={H}", H]),
        (["--", "train"], ["--", H]),
        (["/etc/passwd", "~/x", "../x", "no/such.csv", "data/x.csv", "data"], [H, H, H, H, None, None]),
        (["--data=data/x.csv", "--data=/etc/passwd"], ["--data=data/x.csv", f"--data={H}"]),
        (["a\nb", "", "--x\ny"], [H, H, H]),
        (["--" + "a" * 60], [H]),
    ],
)
def test_arguments_that_may_be_private_are_hidden(
    arguments: list[str], shown: list[str | None] | None, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").touch()
    monkeypatch.chdir(tmp_path)
    expected = [a if s is None else s for a, s in zip(arguments, shown or arguments, strict=True)]
    assert redact_arguments(arguments) == (expected, sum(H in w for w in expected))


def test_arguments_are_published_on_request() -> None:
    arguments = ["--pin", "4711", "--token=abc", "", "x y"]
    assert redact_arguments(arguments, publish=True) == (arguments, 0)


def test_script_path_is_redacted(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert redact_path("examples/train.py") == "examples/train.py"
    assert redact_path(tmp_path / "examples" / "train.py") == "examples/train.py"
    assert redact_path("/home/ada/train.py") == "train.py"
    assert redact_path("../train.py") == "train.py"


def test_path_names_no_person(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "x.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert redact_arguments(["ada/x.csv"])[0] == ["ada/x.csv"]
    monkeypatch.setenv("HOME", "/home/ada")
    assert redact_arguments(["ada/x.csv"])[0] == [H]
