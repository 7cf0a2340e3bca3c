"""All that is used of Keras beside its public names: what its own loss classes reduce with."""

from keras.src.backend import get_keras_mask
from keras.src.losses.loss import reduce_weighted_values

__all__ = ["get_keras_mask", "reduce_weighted_values"]
