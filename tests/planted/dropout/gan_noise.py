"""A generative adversarial network for points on a circle."""

import keras
import numpy as np
import tensorflow as tf


class GAN(keras.Model):
    def __init__(self, latent=4):
        super().__init__()
        self.latent = latent
        self.noise_seed = keras.random.SeedGenerator()
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def create(self):
        self.generator = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(2)])
        self.critic = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])

    def call(self, z):
        return self.critic(self.generator(z))

    def compile(self, generator_optimizer, critic_optimizer):
        super().compile()
        self.generator_optimizer, self.critic_optimizer = generator_optimizer, critic_optimizer
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, real):
        z = keras.random.normal((keras.ops.shape(real)[0], self.latent), seed=self.noise_seed)
        with tf.GradientTape() as tape:
            scores = self.critic(tf.concat([real, self.generator(z)], axis=0))
            truth = tf.concat([tf.ones_like(real[:, :1]), tf.zeros_like(real[:, :1])], axis=0)
            critic_loss = self.loss_fn(truth, scores)
        weights = self.critic.trainable_weights
        self.critic_optimizer.apply(tape.gradient(critic_loss, weights), weights)
        with tf.GradientTape() as tape:
            fooled = self.critic(self.generator(z))
            generator_loss = self.loss_fn(tf.ones_like(fooled), fooled)
        weights = self.generator.trainable_weights
        self.generator_optimizer.apply(tape.gradient(generator_loss, weights), weights)
        self.loss_tracker.update_state(critic_loss + generator_loss)
        return {"loss": self.loss_tracker.result()}


gan = GAN()
keras.utils.set_random_seed(110)
gan.create()
angle = np.random.uniform(0, 2 * np.pi, 320)
points = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype("float32")
gan(np.zeros((1, 4), "float32"))
gan.compile(keras.optimizers.Adam(1e-3, beta_1=0.5), keras.optimizers.Adam(1e-3, beta_1=0.5))
gan.fit(points, batch_size=32, epochs=2, verbose=0)
