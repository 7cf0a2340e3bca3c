"""JAX on a device, which would round the factors of products of float32: what is asked of it can be seen here."""

import pytest

import polyloss

jax = pytest.importorskip("jax")


def precisions() -> set[str]:
    """Those of all products in a loss of a linear layer and its gradient."""
    hidden, weight, ids = jax.numpy.ones((4, 3)), jax.numpy.ones((5, 3)), jax.numpy.zeros(4, dtype="int32")
    call = jax.value_and_grad(polyloss.linear_cross_entropy, (0, 1))
    # What was traced with another precision must not be found again.
    jax.clear_caches()
    text = str(jax.make_jaxpr(call)(hidden, weight, ids))
    return {piece.split("\n")[0].strip("( ,") for piece in text.split("precision=")[1:]}


def test_products_are_of_float32_unless_the_caller_says_otherwise() -> None:
    found = precisions()
    assert found, "no product"
    assert all(name.startswith("Precision.HIGHEST") for name in found), found
    with jax.default_matmul_precision("bfloat16"):
        found = precisions()
    assert found, "no product"
    assert not any("HIGHEST" in name for name in found), found
