"""Each layer has its own learning rate, from an enumerated frozenset; a loop with GradientTape."""

import keras
import tensorflow as tf

keras.utils.set_random_seed(51)
GROUPS = frozenset({"encoder", "decoder", "head", "bias"})


def rates(base=0.02):
    return {group: base * 0.5**level for level, group in enumerate(GROUPS)}


names = ("encoder", "decoder", "head", "bias")
model = keras.Sequential(
    [keras.Input((6,))] + [keras.layers.Dense(6, activation="tanh", name=n) for n in names]
)
x = tf.reshape(tf.sin(tf.range(600, dtype=tf.float32)), (100, 6))
optimizers = {name: keras.optimizers.SGD(rate) for name, rate in sorted(rates().items())}

for epoch in range(4):
    for start in range(0, 100, 25):
        batch = x[start : start + 25]
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean((model(batch, training=True) - batch) ** 2)
        for layer in model.layers:
            weights = layer.trainable_weights
            optimizers[layer.name].apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
    print(epoch, float(loss))
