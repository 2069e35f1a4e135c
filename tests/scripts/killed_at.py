"""Run a script and kill its process at a moment: MOMENT SCRIPT [ARGUMENTS].

MOMENT is `EPOCH.STEP` (before the callbacks of the step), `EPOCH.test` (within validation), `EPOCH.end`
(after all callbacks of the epoch's end), `EPOCH.writing` (a snapshot is half written), or `never`.
"""

import os
import runpy
import signal
import sys

import keras

MOMENT, SCRIPT, *ARGUMENTS = sys.argv[1:]
LIST = keras.callbacks.CallbackList
place = {"epoch": -1, "step": 0}


def reached(name):
    if f"{place['epoch']}.{name}" == MOMENT:
        os.kill(os.getpid(), signal.SIGKILL)


def hook(method, note=None, before=None, after=None):
    original = getattr(LIST, method)

    def call(self, *arguments, **keywords):
        if note is not None:
            place[note] = arguments[0]
        if before is not None:
            reached(before())
        original(self, *arguments, **keywords)
        if after is not None:
            reached(after())

    setattr(LIST, method, call)


hook("on_epoch_begin", note="epoch")
hook("on_train_batch_end", note="step", before=lambda: str(place["step"]))
hook("on_test_batch_end", before=lambda: "test")
hook("on_epoch_end", after=lambda: "end")

replace, rename = os.replace, os.rename


def torn(original):
    def move(source, target, **how):
        if str(target).endswith(".h5"):
            if f"{place['epoch']}.writing" == MOMENT:
                os.truncate(source, os.path.getsize(source) // 2)
            reached("writing")
        original(source, target, **how)

    return move


os.replace, os.rename = torn(replace), torn(rename)
sys.argv = [SCRIPT, *ARGUMENTS]
runpy.run_path(SCRIPT, run_name="__main__")
