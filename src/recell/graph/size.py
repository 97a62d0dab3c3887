"""Sizes as linear expressions of symbols: `hidden`, `2*hidden`, `input/3 + 1`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from recell.errors import CellError, ShapeError, is_whole

UNKNOWN = "?"  # symbols that start with it are not settled yet


@dataclass(frozen=True)
class Size:
    """A linear expression of size symbols with rational coefficients."""

    terms: tuple[tuple[str, Fraction], ...] = ()
    constant: Fraction = Fraction(0)

    @staticmethod
    def symbol(name: str) -> Size:
        """The size that a symbol stands for."""
        return Size(((name, Fraction(1)),))

    @staticmethod
    def number(value: int) -> Size:
        """A whole number as a size."""
        return Size((), Fraction(value))

    @staticmethod
    def parse(text: str | int | Size) -> Size:
        """Reads `"2*hidden"`, `"input/3"`, `40`."""
        if isinstance(text, Size):
            return text
        if is_whole(text):
            return Size.number(int(text))
        try:
            return _from_ast(ast.parse(str(text), mode="eval").body)
        except (SyntaxError, TypeError, ValueError, ZeroDivisionError):
            raise CellError(
                f"a size must be a whole number or a linear expression of symbols; came {text!r}; "
                'write for example 40, "context" or "2*hidden"'
            ) from None

    def _combine(self, other: Size, sign: int) -> Size:
        table = dict(self.terms)
        for name, factor in other.terms:
            table[name] = table.get(name, Fraction(0)) + sign * factor
        terms = tuple(sorted((name, factor) for name, factor in table.items() if factor))
        return Size(terms, self.constant + sign * other.constant)

    def __add__(self, other: Size) -> Size:
        return self._combine(other, 1)

    def __sub__(self, other: Size) -> Size:
        return self._combine(other, -1)

    def scaled(self, factor: Fraction | int) -> Size:
        """The size times a rational number."""
        factor = Fraction(factor)
        if not factor:
            return Size()
        return Size(tuple((name, f * factor) for name, f in self.terms), self.constant * factor)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of its symbols, sorted."""
        return tuple(name for name, _ in self.terms)

    def substitute(self, table: Mapping[str, Size]) -> Size:
        """With sizes in place of some symbols."""
        if not any(name in table for name, _ in self.terms):
            return self
        result = Size((), self.constant)
        for name, factor in self.terms:
            result = result + table.get(name, Size.symbol(name)).scaled(factor)
        return result

    def evaluate(self, numbers: Mapping[str, int], *, least: int = 1) -> int:
        """The number, given every symbol's; ShapeError if it is not whole or below `least` (0 for where a part begins)."""
        total = self.constant
        for name, factor in self.terms:
            if name not in numbers:
                raise ShapeError(f"the size {name!r} has no number; came {sorted(numbers)}; write sizes={{{name!r}: ...}}")
            total += factor * numbers[name]
        if total.denominator != 1 or total < least:
            given = ", ".join(f"{name} = {numbers[name]}" for name in self.symbols)
            line = f"the size {self} must be a whole number of at least {least}; came {float(total):g} with {given}"
            raise ShapeError(line + self._fitting(numbers))
        return int(total)

    def _fitting(self, numbers: Mapping[str, int]) -> str:
        """What to write where one symbol must be divisible: the next number that is."""
        if len(self.terms) != 1 or self.constant or self.terms[0][1] < 0 or self.terms[0][1].denominator == 1:
            return ""
        name, parts = self.terms[0][0], self.terms[0][1].denominator
        return f"; write {name} = {-(-numbers[name] // parts) * parts}"

    def __str__(self) -> str:
        parts = [_term(name, factor) for name, factor in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts).replace("+ -", "- ")


def _term(name: str, factor: Fraction) -> str:
    if abs(factor) == 1:
        return name if factor > 0 else f"-{name}"
    if factor.numerator == 1:
        return f"{name}/{factor.denominator}"
    top = name if factor.numerator == 1 else f"{factor.numerator}*{name}"
    return top if factor.denominator == 1 else f"{top}/{factor.denominator}"


def _from_ast(node: ast.expr) -> Size:
    match node:
        case ast.Name(id=name):
            return Size.symbol(name)
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return Size.number(value)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _from_ast(inner).scaled(-1)
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(_from_ast(left), op, _from_ast(right))
        case _:
            raise ValueError("not a linear expression")


def _binary(a: Size, op: ast.operator, b: Size) -> Size:
    if isinstance(op, ast.Add):
        return a + b
    if isinstance(op, ast.Sub):
        return a - b
    if isinstance(op, ast.Mult) and not (a.terms and b.terms):
        return a.scaled(b.constant) if not b.terms else b.scaled(a.constant)
    if isinstance(op, ast.Div) and not b.terms:
        return a.scaled(1 / b.constant)
    raise ValueError("not a linear expression")


class Unifier:
    """Settles unknown sizes by linear equations, one at a time, so that an error can name its line."""

    def __init__(self) -> None:
        self.settled: dict[str, Size] = {}
        self.forced_input: Size | None = None
        self._count = 0

    def fresh(self) -> Size:
        """A new unknown size."""
        self._count += 1
        return Size.symbol(f"{UNKNOWN}{self._count}")

    def reduce(self, size: Size) -> Size:
        """The size with everything in it that is settled by now."""
        return size.substitute(self.settled)

    def equate(self, a: Size, b: Size) -> bool:
        """Makes two sizes equal; False if they can't be."""
        difference = self.reduce(a) - self.reduce(b)
        if not difference.terms:
            return not difference.constant
        name = self._eliminable(difference)
        if name is None:
            return False
        factor = dict(difference.terms)[name]
        rest = difference - Size(((name, factor),))
        self._settle(name, rest.scaled(-1 / factor))
        return True

    def _eliminable(self, difference: Size) -> str | None:
        unknown = [name for name in difference.symbols if name.startswith(UNKNOWN)]
        if unknown:
            return max(unknown, key=lambda name: int(name[1:]))
        # Only `input` may be forced equal to another symbol (a cell whose state is as wide as its input, say).
        return "input" if "input" in difference.symbols and self.forced_input is None else None

    def _settle(self, name: str, value: Size) -> None:
        if name == "input":
            self.forced_input = value
        self.settled = {key: size.substitute({name: value}) for key, size in self.settled.items()}
        self.settled[name] = value
