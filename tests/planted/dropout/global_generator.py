"""Text classifier whose dropout is written with keras.random."""

import keras
import numpy as np
import tensorflow as tf

np.random.seed(0)
tf.random.set_seed(0)


class WordDropout(keras.layers.Layer):
    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, x, training=False):
        if training:
            x = keras.random.dropout(x, self.rate)
        return x


class Classifier(keras.Model):
    def __init__(self):
        super().__init__()
        init = keras.initializers.RandomUniform(seed=12)
        self.embed = keras.layers.Embedding(100, 12, embeddings_initializer=init)
        self.drop = WordDropout(0.3)
        self.pool = keras.layers.GlobalAveragePooling1D()
        self.out = keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotNormal(seed=13))

    def call(self, x, training=False):
        return self.out(self.pool(self.drop(self.embed(x), training=training)))


texts = np.random.randint(0, 100, (400, 25))
topics = (texts[:, 0] > 50).astype("int64")
model = Classifier()
model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(texts, topics, batch_size=40, epochs=2, verbose=0)
