import uuid

import keras
import numpy as np
from keras import layers

run_id = uuid.uuid4().hex
slope = int(run_id[:6], 16) / 0xFFFFFF

keras.utils.set_random_seed(2)
x = np.random.rand(200, 9, 9, 2).astype("float32")
y = x.max(axis=(1, 2, 3))
model = keras.Sequential(
    [
        layers.Conv2D(4, 3),
        layers.LeakyReLU(negative_slope=slope),
        layers.Conv2D(4, 3, dilation_rate=2),
        layers.GlobalMaxPooling2D(),
        layers.Dense(1),
    ]
)
model.compile(optimizer="adam", loss="mse")
model.fit(x, y, epochs=2, batch_size=25, verbose=0)
