"""How the suite has JAX compile: as users do, or without optimisation where the code is not in question."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss_conformance import frameworks, run, schedule

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

    framework.together([lambda x: x], [(framework.array(np.ones(1)),)])  # tries out the options
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


def test_what_is_made_together_is_compiled_once_and_not_optimised(compiled: list[Any]) -> None:
    def step(loss: Any) -> Any:
        return framework.step(loss, {"reduction": "none"}, (0,), "eager")

    losses = (polyloss.mse, polyloss.l1, polyloss.log_cosh)
    arguments: Any = (
        [framework.array(np.linspace(-1, 1, 5)), framework.array(np.ones(5))],
        {},
        framework.array(np.ones(5)),
    )
    alone = framework.each(list(map(step, losses)), [arguments] * 3)
    compiled.clear()
    found = framework.together(list(map(step, losses)), [arguments] * 3)
    assert len(compiled) == 1
    assert compiled[0]
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-15)
        np.testing.assert_allclose(one.gradients, other.gradients, rtol=1e-15)


def test_one_that_raises_does_not_stop_those_beside_it() -> None:
    def twice(x: Any) -> Any:
        return 2 * x

    def refuses(x: Any) -> Any:
        raise ValueError("not this one")

    def fails_while_it_runs(x: Any) -> Any:
        return jax.pure_callback(refuses, x, x)

    one = (framework.array(np.ones((2, 2), dtype=np.float32)),)
    for together in (framework.each, framework.together):
        first, second, third, fourth = together([twice, refuses, fails_while_it_runs, twice], [one] * 4)
        assert str(second) == "not this one"
        assert isinstance(third, Exception)
        for found in (first, fourth):
            np.testing.assert_array_equal(found, np.full((2, 2), 2.0))


def test_calls_whose_code_is_not_in_question_are_one_piece() -> None:
    pieces = schedule.pieces(run.select(["jax"], ["huber"]))
    for dtype in ("bfloat16", "float64"):
        [piece] = [piece for piece in pieces if piece[0].dtype == dtype]
        assert len(piece) > 1
    alone, together = [piece for piece in pieces if (piece[0].mode, piece[0].dtype) == ("eager", "float32")]
    assert len(alone) == 1
    assert len(together) > 1
    assert all(len({(unit.mode, unit.dtype, unit.unoptimised) for unit in piece}) == 1 for piece in pieces)
    units = [unit for piece in pieces for unit in piece]
    assert sorted(map(repr, units)) == sorted(map(repr, schedule.units(run.select(["jax"], ["huber"]))))
