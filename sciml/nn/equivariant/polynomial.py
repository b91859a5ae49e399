"""Polynomials of many variables, written as sums and products, and their derivatives of every order."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

SCALE = -1  # in place of the second factor: the first one, times a constant


class Step(NamedTuple):
    """One operation: ``a + b``, ``a · b``, or ``a · constant``, of the results of earlier ones."""

    kind: str  # "add", "multiply", "scale", "input"
    a: int
    b: int = SCALE
    constant: float = 0.0


class Polynomial:
    """Rows of numbers from rows of numbers, node by node and channel by channel.

    Variables are the numbers of steps. The first ones are the rows of the inputs, one after the other.

    Args:
        inputs: number of rows of each input.
    """

    def __init__(self, inputs: Sequence[int]) -> None:
        self.inputs = tuple(inputs)
        self.steps = [Step("input", n, row) for n, rows in enumerate(inputs) for row in range(rows)]
        self.outputs: list[list[int | None]] = []  # rows of each output; None is zero
        self._known: dict[tuple, int] = {}
        self._gradients: dict[tuple, Polynomial] = {}

    def rows(self, number: int) -> list[int]:
        """Return the variables of an input."""
        start = sum(self.inputs[:number])
        return list(range(start, start + self.inputs[number]))

    # ------------------------------------------------------------------ writing

    def _step(self, *step: Any) -> int:
        if step not in self._known:
            self._known[step] = len(self.steps)
            self.steps.append(Step(*step))
        return self._known[step]

    def multiply(self, a: int, b: int) -> int:
        """Return a · b."""
        return self._step("multiply", min(a, b), max(a, b))

    def scale(self, a: int, constant: float) -> int:
        """Return a times a constant."""
        return a if constant == 1.0 else self._step("scale", a, SCALE, constant)

    def add(self, a: int | None, b: int | None) -> int | None:
        """Return a + b, where None is zero."""
        if a is None or b is None:
            return b if a is None else a
        return self._step("add", min(a, b), max(a, b))

    # ------------------------------------------------------------------ derivatives

    def gradient(self, given: tuple[int, ...], wanted: tuple[int, ...]) -> Polynomial:
        """Return the polynomial of gradients by the ``wanted`` inputs, from those by the ``given`` outputs.

        Its inputs are those of this one, then the gradients that are given: this one's steps, followed
        backwards.
        """
        if (given, wanted) not in self._gradients:
            self._gradients[given, wanted] = self._followed_backwards(given, wanted)
        return self._gradients[given, wanted]

    def _followed_backwards(self, given: tuple[int, ...], wanted: tuple[int, ...]) -> Polynomial:
        found = Polynomial((*self.inputs, *(len(self.outputs[n]) for n in given)))
        values = [n if step.kind == "input" else -1 for n, step in enumerate(self.steps)]
        for n, step in enumerate(self.steps):
            if step.kind != "input":
                found_b = values[step.b] if step.kind != "scale" else SCALE
                values[n] = found._step(step.kind, values[step.a], found_b, step.constant)
        slopes: dict[int, int | None] = {}
        for place, n in enumerate(given):
            for row, variable in zip(found.rows(len(self.inputs) + place), self.outputs[n]):
                if variable is not None:
                    slopes[variable] = found.add(slopes.get(variable), row)
        for n in range(len(self.steps) - 1, -1, -1):
            step, slope = self.steps[n], slopes.get(n)
            if slope is None or step.kind == "input":
                continue
            if step.kind == "scale":
                slopes[step.a] = found.add(slopes.get(step.a), found.scale(slope, step.constant))
                continue
            for own, other in ((step.a, step.b), (step.b, step.a)):
                part = slope if step.kind == "add" else found.multiply(slope, values[other])
                slopes[own] = found.add(slopes.get(own), part)
        found.outputs = [[slopes.get(row) for row in self.rows(n)] for n in wanted]
        return found

    # ------------------------------------------------------------------ evaluation

    def __call__(
        self, *inputs: Float[Tensor, "nodes rows channels"]
    ) -> list[Float[Tensor, "nodes rows channels"]]:
        """Evaluate it by compiled code, where `sciml.nn.equivariant.product.has_fused` says so."""
        return list(_Evaluate.apply(self, *(value.contiguous() for value in inputs)))

    def evaluate(self, inputs: Sequence[Float[Tensor, "nodes rows channels"]]) -> tuple[Tensor, ...]:
        """Evaluate it without a record for derivatives; the inputs are contiguous."""
        from sciml.nn.equivariant.polynomial_kernel import compile_polynomial

        nodes, _, channels = inputs[0].shape
        outputs = [inputs[0].new_empty(nodes, len(rows), channels) for rows in self.outputs]
        pointers = [tensor.data_ptr() for tensor in (*inputs, *outputs)]
        kernel = compile_polynomial(self, channels, inputs[0].element_size())
        kernel((ctypes.c_void_p * len(pointers))(*pointers), 0, nodes, 0)
        return tuple(outputs)


class _Evaluate(torch.autograd.Function):
    """A polynomial; its backward is another one."""

    @staticmethod
    def forward(ctx: Any, polynomial: Polynomial, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.polynomial = polynomial
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs)
        return polynomial.evaluate(inputs)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        given = tuple(n for n, slope in enumerate(slopes) if slope is not None)
        wanted = tuple(n for n in range(len(inputs)) if ctx.needs_input_grad[1 + n])
        found: list[Tensor | None] = [None] * len(inputs)
        if given and wanted:
            gradient = ctx.polynomial.gradient(given, wanted)
            results = gradient(*inputs, *(slopes[n] for n in given))
            for n, result in zip(wanted, results):
                found[n] = result
        return None, *found
