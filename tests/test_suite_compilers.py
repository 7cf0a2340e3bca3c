"""How the suite has JAX compile: as users do, or without optimisation where the code is not in question."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss_conformance import frameworks

jax: Any = pytest.importorskip("jax")
framework: Any = frameworks.framework("jax")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The options of everything that is compiled meanwhile."""
    from jax._src import compiler

    found: list[Any] = []
    options_of: Any = compiler.get_compile_options

    def spy(*args: Any, **more: Any) -> Any:
        found.append(more.get("env_options_overrides") or {})
        return options_of(*args, **more)

    framework.together(lambda x: x)  # tries out the options
    monkeypatch.setattr(compiler, "get_compile_options", spy)
    jax.clear_caches()
    yield found
    jax.clear_caches()


@pytest.mark.parametrize("mode", ["eager", "jit"])
def test_what_was_not_optimised_is_compiled_again_for_what_shall_be(mode: str, compiled: list[Any]) -> None:
    arrays = [framework.array(np.linspace(-1, 1, 5)) for _ in range(2)]
    cotangent = framework.array(np.ones(5))
    counts = []
    for unoptimised in (True, False, True, False):
        compiled.clear()
        step = framework.step(polyloss.log_cosh, {"reduction": "none"}, (0, 1), mode, unoptimised=unoptimised)
        step(arrays, {}, cotangent)
        assert all(bool(options) == unoptimised for options in compiled)
        counts.append(len(compiled))
    # In the end all is there already, but for what a new function of `jit` is.
    assert counts[0] > 0
    assert counts[1] == counts[0]
    assert counts[2:] == ([0, 0] if mode == "eager" else counts[:2])
