"""The short names of `tf.keras.losses`. Each is the function itself."""

from .divergence import kl_divergence
from .regression import (
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)

KLD = kld = kullback_leibler_divergence = kl_divergence
MAE = mae = mean_absolute_error
MAPE = mape = mean_absolute_percentage_error
MSE = mse = mean_squared_error
MSLE = msle = mean_squared_logarithmic_error
logcosh = log_cosh

__all__ = [
    *("KLD", "MAE", "MAPE", "MSE", "MSLE"),
    *("kld", "kullback_leibler_divergence", "logcosh", "mae", "mape", "mse", "msle"),
]
