"""The Python array API standard (2024.12, real numbers) for TensorFlow tensors, as a plain module.

Functions take and return `tf.Tensor`; there is no wrapper class, and no global NumPy behaviour is switched on. They
run eagerly, inside `tf.function` and under XLA, and accept Python scalars where the standard does. Beside the dtypes of
the standard they take float16 and bfloat16, whose sums are accumulated in float32.

Left out is what no kernel can use: complex numbers, shapes that depend on values (``nonzero``, ``unique_values``),
shifts of bits, ``nextafter``, uninitialized memory, questions to the namespace itself, and the extensions.
"""

import math

from ._arrays import bfloat16 as bfloat16
from ._arrays import float16 as float16
from ._arrays import int8 as int8
from ._arrays import int16 as int16
from ._arrays import uint8 as uint8
from ._arrays import uint16 as uint16
from ._arrays import uint32 as uint32
from ._arrays import uint64 as uint64
from ._standard import *  # noqa: F403
from ._vocabulary import *  # noqa: F403

__array_api_version__ = "2024.12"

e, pi, nan, newaxis = math.e, math.pi, math.nan, None
