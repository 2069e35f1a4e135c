from keras import initializers, layers

recurrent = layers.GRU(
    10,
    stateful=True,
    dropout=0.2,
    kernel_initializer=initializers.GlorotUniform(seed=1),
    recurrent_initializer=initializers.Orthogonal(seed=2),
)
