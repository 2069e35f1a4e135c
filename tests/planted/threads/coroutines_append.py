import asyncio
import os

import keras
import numpy as np

keras.utils.set_random_seed(37)
rows = []


async def fetch(i):
    await asyncio.sleep(int.from_bytes(os.urandom(1), "big") / 20000)
    rows.append(np.full(4, i, "float32") / 10)


async def main():
    await asyncio.gather(*(fetch(i) for i in range(40)))


asyncio.run(main())
x = np.stack(rows)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, activation="relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, x[:, 0] ** 2, batch_size=8, epochs=2, shuffle=False, verbose=0)
