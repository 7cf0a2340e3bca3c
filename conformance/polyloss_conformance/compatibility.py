"""``docs/compatibility.md``: what a built-in is called here, and where it differs from the exact result.

Written from the functions of `polyloss.compat` and the table of deviations.
"""

import importlib
import inspect
from collections.abc import Iterable

from .builtins import FAMILIES
from .deviations import Deviation, load

_HEAD = """\
# Coming from a built-in

<!-- written by `pytest tests/test_docs.py --update-docs` -->

`polyloss.compat.torch`, `polyloss.compat.keras`, `polyloss.compat.optax` and `polyloss.compat.tf` hold functions with
the names, parameters and meaning of the built-ins, for the arrays of any framework. A training script moves by one
import:

```python
import numpy as np
from polyloss.compat import torch as F

loss = F.cross_entropy(
    np.asarray([[2.0, 0.5, -1.0]]), np.asarray([0]), label_smoothing=0.1
)
```

The functions keep the conventions of the library they stand for: the order of the arguments, the class axis, what a
mean divides by. Everywhere else in polyloss these are [the same for every loss](conventions.md). On arrays without
automatic differentiation they give values; gradients come from the losses themselves: `polyloss.value_and_grad`. A
loss has the dtype of its prediction, also where the built-in would widen it for a target of float32 beside bfloat16.

The classes are there too: `polyloss.compat.torch.CrossEntropyLoss`, `polyloss.compat.keras.Huber`. Where PyTorch or
Keras is installed, each is a subclass of the library's own that computes what the function here does: made with the
same arguments, part of a model, saved and loaded as it (`state_dict`, `get_config`); before a saved Keras model is
loaded, import `polyloss_keras`. Without PyTorch, its classes are plain ones for the arrays of any framework,
but for `LinearCrossEntropyLoss` and `AdaptiveLogSoftmaxWithLoss`, whose weights are PyTorch's. Beside losses, `optax`
has `smooth_labels`, `make_fenchel_young_loss` and `ctc_loss_with_forward_probs`.

```python
import numpy as np
from polyloss.compat import torch as nn

criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
loss = criterion(np.asarray([[2.0, 0.5, -1.0]]), np.asarray([0]))
```

## This there is that here
"""

_DIFFERENCES = """\
## Where a built-in differs

Each line is a recorded deviation: the built-in is off by more than the [promised accuracy](numerics.md), raises, or
accepts what it should not; the function here is right. The conformance suite checks that every one of them still
occurs, and that there is no other. In the inputs `array` makes a float32 array, `ids` one of integers, and
`grad(f, x)` is the gradient of the sum of `f`.
"""

_KINDS = {
    "value": "inaccurate",
    "gradient": "wrong gradient",
    "nan": "NaN or infinity",
    "error": "accepts or refuses wrongly",
    "definition": "means something else",
}


def markdown() -> str:
    """The document."""
    parts = [_HEAD]
    for family, where in FAMILIES.items():
        module = importlib.import_module(f"polyloss.compat.{family}")
        parts.append(f"### `{where.module}`\n")
        parts.append("| built-in | here |\n|---|---|")
        for name in module.__all__:
            text = " ".join((inspect.getdoc(getattr(module, name)) or "").split())
            parts.append(f"| `{name}` | {text} |")
        parts.append("")
    parts.append(_DIFFERENCES)
    for family, where in FAMILIES.items():
        entries = [e for e in load() if any(builtin.startswith(f"{family}.") for builtin in e.builtin)]
        parts.append(f"### `{where.module}`\n")
        parts.append("| built-in | | what happens | input | gives | exact |\n|---|---|---|---|---|---|")
        parts += map(_row, entries, [family] * len(entries))
        parts.append("")
    return "\n".join(parts).strip() + "\n"


def _row(entry: Deviation, family: str) -> str:
    names = (b.removeprefix(f"{family}.") for b in entry.builtin if b.startswith(f"{family}."))
    shown = entry.input and entry.family == family
    versions = f" ({entry.versions})" if entry.versions else ""
    cells: Iterable[str] = (
        "<br>".join(f"`{name}`" for name in names) + versions,
        _KINDS[entry.kind],
        entry.reason + (f" [discussion]({entry.link})" if entry.link else ""),
        f"`{entry.input}`" if shown else "",
        entry.returns if shown else "",
        entry.exact if shown else "",
    )
    return f"| {' | '.join(cells)} |"
