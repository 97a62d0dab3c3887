"""A stream's step as a Python built-in, made while Python runs: where a call through ctypes costs more than a small cell's step.

The built-in's function lies in the native library, which knows neither Python's headers nor NumPy's: it is handed the few
functions that it needs, and where an array keeps its fields. Those places are part of NumPy's binary interface (`PyArrayObject`);
they are checked here on an array whose every field is known, and where one is not as expected there is no built-in, and the
ordinary step does all the work.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import sysconfig
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_int64, c_void_p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.compiler.backends.cpu.library import load

Array = NDArray[Any]
QuickCall = Callable[[object], Array | None]
HEAD = 2 * ctypes.sizeof(c_void_p)  # an object's count of references and its type
PLACES = {"type_at": HEAD // 2, "data_at": HEAD, "dimensions_at": HEAD + 8, "shape_at": HEAD + 16, "dtype_at": HEAD + 40,
          "flags_at": HEAD + 48}  # fmt: skip
IN_C_ORDER, ALIGNED = 0x1, 0x100  # NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ALIGNED
ONE_ARGUMENT = 0x8  # METH_O
FUNCTIONS = {"retain": "Py_IncRef", "pointer_of": "PyLong_AsVoidPtr", "number_of": "PyLong_AsLongLongAndOverflow",
             "list_size": "PyList_Size", "list_item": "PyList_GetItem"}  # fmt: skip
OBJECTS = {"none": None, "list_type": list, "int_type": int, "array_type": np.ndarray}


class PythonArguments(ctypes.Structure):
    """`rc_python`."""

    _fields_ = [*((name, c_void_p) for name in (*FUNCTIONS, *OBJECTS)), *((name, c_int64) for name in PLACES),
                ("wanted_flags", c_int)]  # fmt: skip


class QuickArguments(ctypes.Structure):
    """`rc_quick`: one stream's buffers and objects."""

    _fields_ = [("stream", c_void_p), ("dtype", c_void_p), ("scores", c_void_p), ("numbers", c_void_p), ("x", c_void_p),
                ("rows", c_int64), ("width", c_int64), ("item", c_int64)]  # fmt: skip


class MethodDefinition(ctypes.Structure):
    """Python's `PyMethodDef`."""

    _fields_ = [("name", c_char_p), ("function", c_void_p), ("flags", c_int), ("doc", c_char_p)]


def places_hold() -> bool:
    """Whether this Python and this NumPy keep an array's fields at PLACES."""
    locked = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
    if not locked or ctypes.sizeof(c_void_p) != 8:
        return False
    probe = np.arange(6, dtype=np.float32).reshape(2, 3)
    turned = probe.T
    return _fields(probe) == _expected(probe) and _fields(turned) == _expected(turned)


def _fields(array: Array) -> tuple[Any, ...]:
    def at(place: str, kind: type[Any]) -> Any:
        return kind.from_address(id(array) + PLACES[place]).value

    shape = (c_int64 * 2).from_address(at("shape_at", c_void_p))
    flags = at("flags_at", c_int) & (IN_C_ORDER | ALIGNED)
    kind, data, dtype = (at(place, c_void_p) for place in ("type_at", "data_at", "dtype_at"))
    return kind, data, at("dimensions_at", c_int), tuple(shape), dtype, flags


def _expected(array: Array) -> tuple[Any, ...]:
    flags = IN_C_ORDER * array.flags.c_contiguous | ALIGNED * array.flags.aligned
    return id(np.ndarray), array.ctypes.data, array.ndim, array.shape, id(array.dtype), flags


@functools.cache
def is_available() -> bool:
    """Whether steps can be built-ins here; tells the native library what it must know."""
    if not places_hold():
        return False
    functions = {name: ctypes.cast(getattr(ctypes.pythonapi, api), c_void_p).value for name, api in FUNCTIONS.items()}
    objects = {name: id(thing) for name, thing in OBJECTS.items()}
    known = PythonArguments(**functions, **objects, **PLACES, wanted_flags=IN_C_ORDER | ALIGNED)
    load().rc_set_python(ctypes.addressof(known))
    return True


class Place(int):
    """A structure's address that keeps the structure, and what it points at, while somebody has the address."""

    def __new__(cls, structure: ctypes.Structure, *kept: object) -> Place:
        place = super().__new__(cls, ctypes.addressof(structure))
        place._kept = structure, kept
        return place

    _kept: tuple[object, ...]


@functools.cache
def _definition() -> int:
    """Where the built-ins' common definition lies: for ever, since Python reads it even as it frees the last of them."""
    step = ctypes.cast(load().rc_quick_step, c_void_p).value
    definition = MethodDefinition(b"step", step, ONE_ARGUMENT, b"One step of a stream.")
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(definition))
    return ctypes.addressof(definition)


def quick_step(stream: int, owner: object, numbers: Array, x: Array, scores: Array) -> QuickCall:
    """`call(x)` is one step: the stream's scores, or None where x is not as it must be or the stream is in use.

    `x` is an array (rows, width) of the stream's dtype in C order, or a list of `rows` ints, the first link being a table. It
    holds Python's lock, so it is for short steps. It keeps the buffers and the stream's `owner`.
    """
    rows, width = x.shape
    places = numbers.ctypes.data, x.ctypes.data
    arguments = QuickArguments(stream, id(x.dtype), id(scores), *places, rows, width, x.itemsize)
    new = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, ctypes.py_object, c_void_p)(("PyCFunction_NewEx", ctypes.pythonapi))
    return new(_definition(), Place(arguments, owner, numbers, x, scores, x.dtype), None)
