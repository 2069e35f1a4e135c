"""A training whose disk is full in the middle of a snapshot: FOLDER FULL ON_ERROR BACKGROUND.

FULL is `small`: a file system in memory that has room for two snapshots and a half, or a limit on the size of
files if none can be mounted; or `filled`: the same with a file that takes the rest, in the third epoch.
The result is printed.
"""

import contextlib
import ctypes
import json
import os
import resource
import sys
import warnings
from pathlib import Path

import keras
import numpy as np

import keras_repro as kr
from keras_repro.errors import SnapshotError

FOLDER, FULL, ON_ERROR, BACKGROUND = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] == "background"
NEW_MOUNTS, NEW_USERS, REMOUNT = 0x20000, 0x10000000, 32
SNAPSHOT = 500_000  # bytes, about
libc = ctypes.CDLL(None, use_errno=True)


def sized(size, flags=0):
    """Mount a file system of a size at FOLDER, or change the size of the mounted one."""
    options = f"size={size}".encode()
    return libc.mount(b"tmpfs", os.fsencode(FOLDER), b"tmpfs", flags, options) == 0


def mounted():
    """Return whether a small file system is mounted at FOLDER, visible to this process only."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_MOUNTS | NEW_USERS) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    return sized(int(2.5 * SNAPSHOT))


class Fills(keras.callbacks.Callback):
    """Fill the disk after two snapshots."""

    def __init__(self, active=False):
        super().__init__()
        self.active = active

    def on_epoch_begin(self, epoch, logs=None):
        if epoch != 2 or not self.active:
            return
        if not MOUNTED:
            resource.setrlimit(resource.RLIMIT_FSIZE, (SNAPSHOT // 2, LIMITS[1]))
        elif FULL == "filled":
            with contextlib.suppress(OSError), open(FOLDER / "filler", "wb", buffering=0) as file:
                while file.write(bytes(1000)):
                    pass


def build():
    layers = [keras.Input((100,)), keras.layers.Dense(300), keras.layers.Dropout(0.2), keras.layers.Dense(30)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    return model


def fit(folder, callback):
    x = np.random.default_rng(0).normal(size=(16, 100)).astype("float32")
    return kr.ReproducibleTrainer(build, seed=1, batch_size=8, strict=False).fit(
        x, x[:, :30], epochs=4, run_dir=folder, resume=True, verbose=0, callbacks=[callback],
        on_snapshot_error=ON_ERROR, background=BACKGROUND,
    )  # fmt: skip


FOLDER.mkdir()
LIMITS = resource.getrlimit(resource.RLIMIT_FSIZE)
MOUNTED = mounted()
result = {"mounted": MOUNTED, "raised": None, "status": None}
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    try:
        run = fit(FOLDER / "run", Fills(active=True))
        result |= {"status": run.status, "fingerprint": run.fingerprint}
    except SnapshotError as error:
        result["raised"] = str(error)
result["warned"] = [str(w.message) for w in warned if "keras_repro" in str(w.message)]
result["snapshots"] = sorted(p.name for p in (FOLDER / "run" / "snapshots").iterdir())
# There is room again.
resource.setrlimit(resource.RLIMIT_FSIZE, LIMITS)
(FOLDER / "filler").unlink(missing_ok=True)
if MOUNTED:
    assert sized(100 * SNAPSHOT, REMOUNT)
result["again"] = fit(FOLDER / "run", Fills()).fingerprint
result["whole"] = fit(Path(f"{FOLDER}-whole"), Fills()).fingerprint
print(json.dumps(result))
