"""A little of LLVM: loops over memory, arithmetic on vector registers, and its compiler."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from llvmlite import binding, ir

REGISTER = 32  # bytes of a vector
INT, POINTER = ir.IntType(64), ir.PointerType()
_LOCK = Lock()

Kernel = Callable[[Any, int, int, int], None]


def width(channels: int, bytes_each: int) -> int:
    """Return how many channels are done at once: what fits a vector register and divides the channels."""
    lanes = REGISTER // bytes_each
    while channels % lanes:
        lanes //= 2
    return lanes


def compiled(code: str) -> Kernel:
    """Return a function of (pointers, three whole numbers), which releases the GIL."""
    with _LOCK:
        return _compiled(code)


def _compiled(code: str) -> Kernel:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = binding.get_host_cpu_features().flatten()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=features, opt=2
    )
    module = binding.parse_assembly(code)
    builder = binding.create_pass_builder(machine, binding.PipelineTuningOptions(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    number = ctypes.c_int64
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, number, number, number)(
        engine.get_function_address("kernel")
    )
    function.engine = engine  # type: ignore[attr-defined]  # owns the code
    return function


class Writer:
    """Writes a function of a table of pointers and three whole numbers, `arguments`.

    Args:
        channels: the length of rows; a vector holds `lanes` of them.
        bytes_each: 4 or 8, of a number.
    """

    def __init__(self, channels: int, bytes_each: int) -> None:
        self.channels, self.lanes = channels, width(channels, bytes_each)
        self.number = ir.FloatType() if bytes_each == 4 else ir.DoubleType()
        self.vector = ir.VectorType(self.number, self.lanes)
        self.module = ir.Module()
        signature = ir.FunctionType(ir.VoidType(), [POINTER, INT, INT, INT])
        self.function = ir.Function(self.module, signature, "kernel")
        self.build = ir.IRBuilder(self.function.append_basic_block())
        self.table, *self.arguments = self.function.args

    # ------------------------------------------------------------------ memory

    def pointer(self, number: int) -> Any:
        """Read a pointer from the table."""
        return self.build.load(self.at(self.table, INT(number), POINTER), typ=POINTER)

    def at(self, base: Any, index: Any, kind: Any) -> Any:
        """Return the address of an element of an array."""
        return self.build.gep(base, [index], source_etype=kind)

    def row(self, base: Any, index: Any, length: int) -> Any:
        """Return the address of a row of so many numbers."""
        return self.at(base, self.build.mul(index, INT(length)), self.number)

    def load(self, base: Any, offset: int) -> Any:
        """Read a vector."""
        return self.build.load(self.at(base, INT(offset), self.number), typ=self.vector, align=4)

    def store(self, value: Any, base: Any, offset: int) -> None:
        """Write a vector."""
        self.build.store(value, self.at(base, INT(offset), self.number), align=4)

    def add_to(self, base: Any, offset: int, value: Any) -> None:
        """Add to what stands in memory."""
        self.store(self.add(self.load(base, offset), value), base, offset)

    @contextmanager
    def loop(self, begin: Any, end: Any, step: int) -> Iterator[Any]:
        """Write a loop around what is written within."""
        before = self.build.block
        head, body, after = (self.function.append_basic_block() for _ in range(3))
        self.build.branch(head)
        self.build.position_at_end(head)
        index = self.build.phi(INT)
        index.add_incoming(begin, before)
        self.build.cbranch(self.build.icmp_signed("<", index, end), body, after)
        self.build.position_at_end(body)
        yield index
        index.add_incoming(self.build.add(index, INT(step)), self.build.block)
        self.build.branch(head)
        self.build.position_at_end(after)

    # ------------------------------------------------------------------ arithmetic

    def add(self, a: Any, b: Any) -> Any:
        """Return a + b, where a may be None for zero."""
        return b if a is None else self.build.fadd(a, b, flags=("contract",))

    def multiply(self, a: Any, b: Any) -> Any:
        """Return a · b."""
        return self.build.fmul(a, b, flags=("contract",))

    def spread(self, scalar: Any) -> Any:
        """Return a vector of equal numbers."""
        one = self.build.insert_element(ir.Constant(self.vector, ir.Undefined), scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.build.shuffle_vector(one, ir.Constant(self.vector, ir.Undefined), zeros)

    def constant(self, value: float) -> Any:
        """Return a vector of a constant."""
        return ir.Constant(self.vector, [value] * self.lanes)
