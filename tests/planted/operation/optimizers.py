import keras
import tensorflow as tf


class NoisySGD(keras.optimizers.SGD):
    """SGD with Gaussian noise on each gradient."""

    def __init__(self, *args, noise=0.01, **kwargs):
        super().__init__(*args, **kwargs)
        self.noise = noise

    def apply(self, grads, trainable_variables=None):
        noisy = []
        for gradient in grads:
            gradient = gradient + tf.random.normal(tf.shape(gradient), stddev=self.noise)
            noisy.append(gradient)
        return super().apply(noisy, trainable_variables)
