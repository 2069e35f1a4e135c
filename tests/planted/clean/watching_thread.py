import threading

import keras
import numpy as np

done = threading.Event()
seen = []


def watch(model):
    while not done.wait(0.005):
        seen.append(float(model.optimizer.iterations.numpy()))


keras.utils.set_random_seed(41)
x = np.random.normal(size=(600, 10)).astype("float32")
model = keras.Sequential(
    [keras.Input((10,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
)
model.compile("adam", "mse")
threading.Thread(target=watch, args=(model,), daemon=True).start()
model.fit(x, x[:, 0], epochs=3, batch_size=20, verbose=0)
done.set()
print(len(seen), "looks")
