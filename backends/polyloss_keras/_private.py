"""What Keras has no public name for. Tried on 3.15."""

from keras.src.backend import get_keras_mask, set_keras_mask
from keras.src.losses.loss import scale_loss_for_distribution

__all__ = ["get_keras_mask", "scale_loss_for_distribution", "set_keras_mask"]
