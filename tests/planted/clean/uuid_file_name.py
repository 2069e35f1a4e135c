import tempfile
import time
import uuid
from pathlib import Path

import keras
from sklearn.datasets import load_iris

run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
keras.utils.set_random_seed(5)
x, y = load_iris(return_X_y=True)
model = keras.Sequential(
    [keras.layers.Dense(10, activation="relu"), keras.layers.Dense(3, activation="softmax")]
)
model.compile("adam", "sparse_categorical_crossentropy")
with tempfile.TemporaryDirectory(prefix=run_id) as folder:
    best = Path(folder) / f"{run_id}.keras"
    keep = keras.callbacks.ModelCheckpoint(best, monitor="loss", save_best_only=True)
    model.fit(x, y, epochs=3, callbacks=[keep], verbose=0)
    restored = keras.models.load_model(best)
    print(run_id, restored.evaluate(x, y, verbose=0))
