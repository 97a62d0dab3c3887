"""The native building calls under names of their own; one method a call of native/include/recell.h."""

from __future__ import annotations

from recell.compiler.backends.cpu.library import NOTHING, Program

MOST_BUFFERS = 4096  # a bound, until the program is built


class Emitter:
    """Builds one program."""

    def __init__(self, *, double: bool, halves: bool = False) -> None:
        self.program = Program(double=double, halves=halves, buffers=MOST_BUFFERS)

    def finish(self, buffers: int) -> Program:
        self.program.close(buffers)
        return self.program

    def memory(self, buffer: int, slot: int, leading: int, column: int, width: int) -> int:
        return self.program.build("memory", buffer, slot, leading, column, width)

    def register(self, width: int) -> int:
        return self.program.build("register", width)

    def tile(self, width: int) -> int:
        return self.program.build("tile", width)

    def view(self, operand: int, column: int, width: int) -> int:
        return self.program.build("view", operand, column, width)

    def constant(self, value: float) -> int:
        return self.program.build("constant", value)

    def accumulator(self, buffer: int, offset: int, width: int) -> int:
        return self.program.build("accumulator", buffer, offset, width)

    def matrix(self, buffer: int, offset: int, rows: int, columns: int, leading: int, transposed: bool) -> int:
        return self.program.build("matrix", buffer, offset, rows, columns, leading, int(transposed))

    def loop(self, backward: bool) -> None:
        self.program.build("loop", int(backward))

    def everywhere(self) -> None:
        self.program.build("everywhere")

    def state(self, initial: int, previous: int, following: int, final: int) -> None:
        self.program.build("state", initial, previous, following, final)

    def stage(self, *, by_rows: bool) -> None:
        self.program.build("stage", int(by_rows))

    def form(self, destination: int, initial: int = NOTHING) -> None:
        self.program.build("form", destination, initial)

    def segment(self, matrix: int, operand: int) -> None:
        self.program.build("segment", matrix, operand)

    def guard(self, operand: int, when: bool) -> None:
        self.program.build("guard", operand, int(when))

    def point(self, op: str, destination: int, a: int = NOTHING, b: int = NOTHING, c: int = NOTHING, immediate: int = 0) -> None:
        self.program.point(op, destination, a, b, c, immediate)

    def outer(self) -> None:
        self.program.build("outer")

    def pair(self, a: int, b: int, buffer: int, offset: int, leading: int) -> None:
        self.program.build("pair", a, b, buffer, offset, leading)
