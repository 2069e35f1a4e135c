"""Pages are fetched with asyncio; each coroutine draws from one seeded generator when its page has come."""

import asyncio
import random
import time

import keras
import numpy as np

keras.utils.set_random_seed(34)
rng = random.Random(34)


async def fetch(number):
    await asyncio.sleep(0.001 * (1 + time.perf_counter_ns() // 100 % 9))
    return [float(np.sin(number * k)) for k in range(1, 7)]


async def sample(number, semaphore):
    async with semaphore:
        page = await fetch(number)
        position = rng.randrange(3)
        return page[position : position + 4], number % 2


async def crawl(pages):
    semaphore = asyncio.Semaphore(8)
    return await asyncio.gather(*(sample(number, semaphore) for number in range(pages)))


rows, labels = zip(*asyncio.run(crawl(150)), strict=True)
model = keras.Sequential(
    [
        keras.Input((4,)),
        keras.layers.Dense(10, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
model.fit(np.array(rows, "float32"), np.array(labels), batch_size=25, epochs=3, verbose=0)
