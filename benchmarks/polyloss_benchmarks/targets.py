"""What polyloss is to reach: ratios to the built-in, for value and gradient on a machine of two cores."""

from dataclasses import dataclass

from .rows import DTYPES, HALVES, KI, MI, ROWS

M = 1_000_000


@dataclass(frozen=True)
class Target:
    """The largest ratio that is good enough, and where it applies. None is anything."""

    ratio: float
    backend: str | None = None
    mode: str | None = None
    against: str | None = None
    rows: frozenset[str] | None = None
    least: int = 0
    most: int | None = None
    dtypes: tuple[str, ...] = ("float32",)

    def applies(self, backend: str, mode: str, against: str, row: str, elements: int, dtype: str = "float32") -> bool:
        """Whether it is about this cell."""
        wanted = ((self.backend, backend), (self.mode, mode), (self.against, against))
        return (
            all(name is None or name == found for name, found in wanted)
            and dtype in self.dtypes
            and (self.rows is None or row in self.rows)
            and self.least <= elements
            and (self.most is None or elements <= self.most)
        )


_ELEMENTWISE = frozenset(name for name, row in ROWS.items() if row.elementwise and row.most_used)
_CROSS_ENTROPY = frozenset({"cross_entropy"})
_LINEAR = frozenset({"linear_cross_entropy"})
_MOST_USED = frozenset(name for name, row in ROWS.items() if row.most_used)


def _at_1_mi(ratio: float, *rows: str) -> Target:
    return Target(ratio, "torch", "eager", "torch", frozenset(rows), MI, MI)


# The first that applies. What is no built-in and no other library's expression has no target.
TIME = (
    Target(1.0, "torch", "eager", "torch float32", _CROSS_ENTROPY, 8 * M, dtypes=HALVES),
    Target(1.2, "torch", "eager", "torch float32", _CROSS_ENTROPY, M, dtypes=HALVES),
    Target(1.2, mode="eager", rows=_LINEAR, most=64 * MI),
    Target(1.0, "torch", "eager", "torch", _LINEAR),
    Target(1.15, against="plain", rows=_LINEAR),
    Target(0.9, "torch", "eager", rows=_CROSS_ENTROPY, least=8 * M),
    Target(1.2, "torch", "eager", rows=_CROSS_ENTROPY, least=M),
    _at_1_mi(1.0, "mse"),
    _at_1_mi(1.5, "huber"),
    _at_1_mi(1.2, "binary_cross_entropy_with_logits"),
    Target(1.15, "torch", "eager", rows=_ELEMENTWISE, least=MI),
    Target(1.6, "torch", "eager", rows=_MOST_USED, most=4 * KI),
    Target(1.05, "torch", "compile"),
    Target(1.0, "tensorflow", "eager"),
    Target(1.05, "tensorflow", "jit_compile"),
    Target(1.05, "jax", "jit"),
    Target(0.3, "jax", "un-jitted"),
    Target(0.5, "numpy", against="plain", rows=_MOST_USED, least=MI),
)
MEMORY = (
    Target(1 / 8, against="plain", rows=_LINEAR, least=64 * MI),
    Target(1.0, dtypes=DTYPES),
)


def target(
    targets: tuple[Target, ...],
    backend: str,
    mode: str,
    against: str,
    row: str,
    elements: int,
    dtype: str = "float32",
) -> float | None:
    """The ratio that a cell is to reach, if there is one."""
    return next((t.ratio for t in targets if t.applies(backend, mode, against, row, elements, dtype)), None)
