import keras
from patients.cohort import records
from patients.holdout import Holdout

keras.utils.set_random_seed(12)
visits, ill = records()
kept, out = Holdout(0.25)(len(visits))

model = keras.Sequential(
    [
        keras.Input(visits.shape[1:]),
        keras.layers.TimeDistributed(keras.layers.Dense(8, activation="relu")),
        keras.layers.GRU(8),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(visits[kept], ill[kept], epochs=3, batch_size=15, verbose=0)
model.evaluate(visits[out], ill[out], verbose=0)
