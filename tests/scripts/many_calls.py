"""Call fit in every way that Keras allows, with evaluate and predict in between."""

import keras
import tensorflow as tf
from small import X, Y, build


class OwnFit(keras.Model):
    def __init__(self):
        super().__init__()
        self.out = keras.layers.Dense(1, activation="sigmoid")

    def call(self, inputs):
        return self.out(inputs)

    def fit(self, x, y, **more):
        """Override fit, and call Keras's."""
        return super().fit(x, y, **more, verbose=0)


keras.utils.set_random_seed(9)
model = build(dropout=0.1)
calls = []


class Seen(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        calls.append(self)


single = Seen()
model.fit(X, Y, epochs=1, verbose=0, callbacks=single)
model.fit(X, Y, 32, 2, 0, [Seen()], 0.25, None, False)
listed = keras.callbacks.CallbackList([Seen()], add_history=True, model=model, epochs=1, verbose=0, steps=3)
model.fit(X, Y, epochs=1, verbose=0, callbacks=listed)
model.fit(X, Y, epochs=1, verbose=0, callbacks=(Seen(),))
assert len(calls) == 5, calls
assert [type(c).__name__ for c in listed.callbacks] == ["Seen", "History"], listed.callbacks

own = OwnFit()
own.compile(optimizer="sgd", loss="binary_crossentropy")
own.fit(X, Y, epochs=1)
model.fit(tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(96, seed=2).batch(32), epochs=1, verbose=0)


def endless():
    while True:
        yield X[:32], Y[:32]


model.fit(endless(), steps_per_epoch=2, epochs=1, verbose=0)
model.evaluate(X, Y, verbose=0)
model.test_on_batch(X, Y)
model.predict(X, verbose=0)
model.predict_on_batch(X[:5])
