"""One model on this CPU and on an emulated one; `make portable-test` trains the others."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
_spec = importlib.util.spec_from_file_location("portable_score", HERE / "score.py")
score = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = score  # its dataclass looks up its own module there
_spec.loader.exec_module(score)

# Another version of one of these may compute other bits.
VERSIONS = {"tensorflow": "2.21.0", "keras": "3.15.1", "numpy": "2.4.6", "scikit-learn": "1.9.1"}


def test_emulated_haswell_gives_the_same_bits():
    if shutil.which("qemu-x86_64") is None:
        assert not os.environ.get("CI"), "no qemu-x86_64: apt-get install qemu-user"
        pytest.skip("no qemu-x86_64 here: apt-get install qemu-user")
    native, emulated = (score.fingerprints(cpu, ["mlp"])["mlp"] for cpu in ("native", "Haswell"))
    assert native.startswith("kr1-smo-")
    assert native == emulated


def test_cpu_without_avx2_is_refused(tmp_path):
    """The CPU is checked before the script is run."""
    if shutil.which("qemu-x86_64") is None:
        pytest.skip("no qemu-x86_64 here: apt-get install qemu-user")
    (tmp_path / "train.py").write_text("open('ran', 'w')")
    code = (
        "from keras_repro.cli.main import main; import sys; sys.exit(main(['run', '--portable', 'train.py']))"
    )
    done = subprocess.run(
        ["qemu-x86_64", "-cpu", "Nehalem", sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("qemu-x86_64: warning")]
    assert (done.returncode, done.stdout) == (2, "")
    assert " ".join(lines) == (
        "keras-repro: portable runs need an x86-64 CPU with AVX2: this CPU has no AVX2; "
        "leave out 'portable' here"
    )
    assert not (tmp_path / "ran").exists()


def test_readme_has_the_fingerprint_of_the_example():
    installed = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    installed["tensorflow"] = installed.get("tensorflow") or installed["tensorflow-cpu"]
    fingerprint = score.fingerprints("native", ["example"])["example"]
    assert fingerprint.startswith("kr1-smr-")
    if VERSIONS.items() <= installed.items():
        assert fingerprint in (score.ROOT / "README.md").read_text()


def test_tables_list_every_training():
    rows = {"native": {"mlp": "kr1-smo-" + "a" * 32}, "EPYC": {"mlp": "kr1-smo-" + "b" * 32}}
    assert score.table(rows, ["mlp", "cnn"]).splitlines()[1:] == [
        "mlp            aaaaaaaaaaaa    bbbbbbbbbbbb    2 different",
        "cnn            -               -               0 different",
    ]


def test_table_of_threads_shows_disagreement():
    rows = {n: {"mlp": {"fingerprint": f"kr1-smo-{'a' * 32}", "same_at": [1, 2]}} for n in (1, 2, 4)}
    text, agrees = score.thread_table(rows, ["mlp"])
    assert not agrees
    assert text.splitlines()[1].split("aaaaaaaaaaaa")[-1].strip() == "the same at 1, 2; DOES NOT AGREE"
    rows[4]["mlp"] = rows[4]["mlp"] | {"fingerprint": f"kr1-smo-{'b' * 32}"}
    assert score.thread_table(rows, ["mlp"])[1]


def test_existing_results_are_not_trained_again(tmp_path):
    """An incomplete last line is dropped, and the file is continued."""
    file = tmp_path / "portable-no-such-cpu.jsonl"
    file.write_text('{"model": "mlp", "fingerprint": "kr1-smo-1"}\n{"model": "cnn", "finge')
    assert score._read(file, ["mlp", "cnn"]) == {"mlp": {"model": "mlp", "fingerprint": "kr1-smo-1"}}
    results = score.trained(score.Job("no-such-cpu"), ["mlp"], keep=tmp_path)
    assert results["mlp"]["fingerprint"] == "kr1-smo-1"
