"""Machine code for the shifted softplus and its slope, by series: one pass, everything between in registers.

With e = exp(-|x|) = 2ⁿ exp(r), |r| ≤ ½ ln 2, and t = e / (2 + e) ≤ 1/3,

    ln(1 + eˣ) = max(x, 0) + ln(1 + e),     ln(1 + e) = 2 (t + t³/3 + t⁵/5 + ...)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir

from sciml.nn.equivariant.llvm import Kernel, Writer, compiled

LANES = 8  # what the numbers come in multiples of
HIGH = 0.693359375  # ln 2 in so few digits that its product with n is exact


class Precision(NamedTuple):
    """Of a kind of numbers: bits of the mantissa, where e is taken as zero, terms that series need."""

    mantissa: int
    least: float
    exponential: int
    logarithm: int


PRECISIONS = {4: Precision(23, -86.0, 8, 8), 8: Precision(52, -707.0, 14, 17)}  # by bytes


@cache
def compile_softplus(bytes_each: int) -> Kernel:
    """Return a function of (pointers of x, value and slope; first number, last number, unused)."""
    writer = _SoftplusWriter(bytes_each)
    begin, end, _ = writer.arguments
    bases = [writer.pointer(n) for n in range(3)]
    with writer.loop(begin, end, writer.lanes) as index:
        x, value, slope = (writer.at(base, index, writer.number) for base in bases)
        for result, place in zip(writer.softplus(writer.load(x, 0)), (value, slope)):
            writer.store(result, place, 0)
    writer.build.ret_void()
    return compiled(str(writer.module))


class _SoftplusWriter(Writer):
    def __init__(self, bytes_each: int) -> None:
        super().__init__(LANES, bytes_each)
        self.precision = PRECISIONS[bytes_each]
        self.bits = ir.VectorType(ir.IntType(8 * bytes_each), self.lanes)
        self.rint = ir.Function(
            self.module,
            ir.FunctionType(self.vector, [self.vector]),
            f"llvm.rint.v{self.lanes}f{8 * bytes_each}",
        )

    def softplus(self, x: Any) -> tuple[Any, Any]:
        """Return value and slope; both of NaN are NaN."""
        build, zero, one = self.build, self.constant(0.0), self.constant(1.0)
        negative = build.fcmp_ordered("<", x, zero)
        e = self.exponential(build.select(negative, x, build.fneg(x)))
        t = build.fdiv(e, self.add(self.constant(2.0), e))
        terms = [2.0 / (2 * k + 1) for k in range(self.precision.logarithm)]
        logarithm = self.multiply(t, self.series(self.multiply(t, t), terms))
        value = self.add(build.select(negative, zero, x), self.add(logarithm, self.constant(-math.log(2.0))))
        slope = build.fdiv(build.select(negative, e, one), self.add(one, e))
        return value, build.select(build.fcmp_unordered("uno", x, x), x, slope)

    def exponential(self, x: Any) -> Any:
        """Return exp(x) of x ≤ 0."""
        build, least = self.build, self.constant(self.precision.least)
        x = build.select(build.fcmp_ordered(">", x, least), x, least)
        n = build.call(self.rint, [self.multiply(x, self.constant(1 / math.log(2.0)))])
        r = self.add(x, self.multiply(n, self.constant(-HIGH)))
        r = self.add(r, self.multiply(n, self.constant(HIGH - math.log(2.0))))
        power = self.series(r, [1 / math.factorial(k) for k in range(self.precision.exponential)])
        shift = ir.Constant(self.bits, [self.precision.mantissa] * self.lanes)
        exponent = build.shl(build.fptosi(n, self.bits), shift)
        return build.bitcast(build.add(build.bitcast(power, self.bits), exponent), self.vector)

    def series(self, x: Any, terms: Sequence[float]) -> Any:
        """Return Σ_k c_k xᵏ."""
        total = self.constant(terms[-1])
        for term in terms[-2::-1]:
            total = self.add(self.multiply(total, x), self.constant(term))
        return total
