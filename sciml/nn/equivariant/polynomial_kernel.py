"""Machine code for a `Polynomial`: one pass over nodes and channels, everything between in registers."""

from __future__ import annotations

from functools import cache
from typing import Any

from sciml.nn.equivariant.llvm import INT, Kernel, Writer, compiled
from sciml.nn.equivariant.polynomial import Polynomial


@cache
def compile_polynomial(polynomial: Polynomial, channels: int, bytes_each: int) -> Kernel:
    """Return a function of (pointers of inputs and outputs, first node, last node, unused)."""
    writer = Writer(channels, bytes_each)
    begin, end, _ = writer.arguments
    lengths = [*polynomial.inputs, *map(len, polynomial.outputs)]
    bases = [writer.pointer(n) for n in range(len(lengths))]
    with writer.loop(begin, end, 1) as node:
        rows = [writer.row(base, node, length * channels) for base, length in zip(bases, lengths)]
        with writer.loop(INT(0), INT(channels), writer.lanes) as channel:
            _write(writer, polynomial, [writer.at(row, channel, writer.number) for row in rows])
    writer.build.ret_void()
    return compiled(str(writer.module))


def _write(writer: Writer, polynomial: Polynomial, here: list[Any]) -> None:
    values: list[Any] = [None] * len(polynomial.steps)

    def value(n: int) -> Any:
        if values[n] is None:
            step = polynomial.steps[n]
            if step.kind == "input":
                values[n] = writer.load(here[step.a], step.b * writer.channels)
            elif step.kind == "scale":
                values[n] = writer.multiply(value(step.a), writer.constant(step.constant))
            else:
                values[n] = getattr(writer, step.kind)(value(step.a), value(step.b))
        return values[n]

    for output, row in zip(polynomial.outputs, here[len(polynomial.inputs) :], strict=True):
        for n, variable in enumerate(output):
            result = writer.constant(0.0) if variable is None else value(variable)
            writer.store(result, row, n * writer.channels)
