"""The native library through ctypes: where it lies, its prototypes, its threads.

`load()` is the library with every prototype of `native/include/recell.h` declared. `Program` is a thin owner
of an `rc_program`: building calls return ids and raise `RecellError` with the library's own line.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import NamedTuple

from recell.errors import RecellError

ABI_VERSION = 4
TIERS = ("prebuilt", "compiled", "vm")  # values of RECELL_TIER; the vm is the one that is built, and runs for all (docs/tiers.md)
MODULE = "recell._native.librecell_native"  # no Python module: only the finder is asked where it lies

# enum rc_slot
STEP, NEW, PREVIOUS, ROLL_NEW, ROLL_PREVIOUS, ROW, VECTOR = range(7)
NOTHING = -1  # an operand that is not there


class CallArguments(ctypes.Structure):
    """`rc_call`: one run's sizes, direction, ragged lengths, coins and threads."""

    _fields_ = [
        ("steps", c_int64),
        ("rows", c_int64),
        ("reverse", c_int),
        ("active", c_void_p),
        ("row_numbers", c_void_p),
        ("seed", c_uint64),
        ("layer", c_uint32),
        ("direction", c_uint32),
        ("threads", c_int),
        ("keep_packs", c_int),
        ("packs", c_void_p),
        ("first_step", c_int64),
    ]


PROTOTYPES: dict[str, tuple[object, tuple[object, ...]]] = {
    "rc_program_new": (c_void_p, (c_int, c_int)),
    "rc_program_free": (None, (c_void_p,)),
    "rc_buffers": (c_int, (c_void_p, c_int)),
    "rc_memory": (c_int, (c_void_p, c_int, c_int, c_int64, c_int64, c_int64)),
    "rc_register": (c_int, (c_void_p, c_int64)),
    "rc_tile": (c_int, (c_void_p, c_int64)),
    "rc_view": (c_int, (c_void_p, c_int, c_int64, c_int64)),
    "rc_constant": (c_int, (c_void_p, c_double)),
    "rc_accumulator": (c_int, (c_void_p, c_int, c_int64, c_int64)),
    "rc_matrix": (c_int, (c_void_p, c_int, c_int64, c_int64, c_int64, c_int64, c_int)),
    "rc_loop": (c_int, (c_void_p, c_int)),
    "rc_everywhere": (c_int, (c_void_p,)),
    "rc_state": (c_int, (c_void_p, c_int, c_int, c_int, c_int)),
    "rc_stage": (c_int, (c_void_p, c_int)),
    "rc_form": (c_int, (c_void_p, c_int, c_int)),
    "rc_segment": (c_int, (c_void_p, c_int, c_int)),
    "rc_guard": (c_int, (c_void_p, c_int, c_int)),
    "rc_point": (c_int, (c_void_p, c_int, c_int, c_int, c_int, c_int, c_int64)),
    "rc_outer": (c_int, (c_void_p,)),
    "rc_pair": (c_int, (c_void_p, c_int, c_int, c_int, c_int64, c_int64)),
    "rc_pack_bytes": (c_int64, (c_void_p,)),
    "rc_run": (c_int, (c_void_p, c_void_p, POINTER(CallArguments))),
    "rc_run_all": (c_int, (c_int, c_void_p, c_void_p, c_void_p)),
    "rc_linear_cross_entropy": (c_int, (c_void_p,)),
    "rc_ctc_loss": (c_int, (c_void_p,)),
    "rc_crf_loss": (c_int, (c_void_p,)),
    "rc_crf_gradient": (c_int, (c_void_p,)),
    "rc_stream_new": (c_void_p, ()),
    "rc_stream_free": (None, (c_void_p,)),
    "rc_stream_program": (c_int, (c_void_p, c_void_p, c_void_p, POINTER(CallArguments))),
    "rc_stream_table": (c_int, (c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_int64, c_void_p)),
    "rc_stream_step": (c_int, (c_void_p, c_int)),
    "rc_stream_hold": (c_int, (c_void_p,)),
    "rc_stream_step_held": (c_int, (c_void_p, c_int)),
    "rc_stream_release": (None, (c_void_p,)),
    "rc_set_python": (None, (c_void_p,)),
    "rc_last_error": (c_char_p, ()),
    "rc_isa": (c_char_p, ()),
    "rc_bf16": (c_int, ()),
    "rc_abi_version": (c_int, ()),
    "rc_op": (c_int, (c_char_p,)),
    "rc_set_team": (None, (c_void_p, c_void_p, c_void_p)),
    "rc_alloc": (c_void_p, (c_int64,)),
    "rc_free": (None, (c_void_p,)),
    "rc_pool_trim": (None, ()),
    "rc_pool_bytes": (c_int64, ()),
    "rc_fma_peak": (c_double, (c_int, c_int)),
}


def library_path() -> str:
    """Where the library lies: `RECELL_LIBRARY` (sanitizer and development builds), else in the package.

    RecellError where the variable names no file, and where the package holds no library.
    """
    named = os.environ.get("RECELL_LIBRARY")
    if named:
        if not Path(named).is_file():
            raise RecellError(f"RECELL_LIBRARY={named} is not a file; build it with cmake --build, or unset it")
        return named
    try:
        spec = importlib.util.find_spec(MODULE)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise RecellError("the native library is not built; install recell (pip install .), or set RECELL_LIBRARY")
    return spec.origin


@functools.cache
def load() -> ctypes.CDLL:
    """The library, its prototypes declared. RecellError if it is missing or of another ABI, or for a wrong setting."""
    tier = os.environ.get("RECELL_TIER") or "vm"
    if tier not in TIERS:
        raise RecellError(f"RECELL_TIER={tier} is no tier; write vm, the one that runs for {' and '.join(TIERS[:-1])} too")
    path = library_path()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise RecellError(f"the native library {path} does not load: {error}") from None
    version = library.rc_abi_version() if hasattr(library, "rc_abi_version") else None
    missing = next((name for name in PROTOTYPES if not hasattr(library, name)), None)
    if version != ABI_VERSION or missing:
        has = f"ABI version {version}" + (f" without {missing}" if missing else "")
        raise RecellError(f"the native library {path} has {has}, recell needs {ABI_VERSION}; rebuild it")
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if library.rc_isa() is None:
        raise RecellError(library.rc_last_error().decode())
    return library


@functools.cache
def opcode(name: str) -> int:
    """The number of a pointwise op; RecellError when the library has none of that name."""
    code = load().rc_op(name.encode())
    if code < 0:
        raise RecellError(f"the cpu backend has no op {name!r}")
    return code


def check(code: int) -> int:
    """The code itself, or RecellError with the library's own line if it is negative."""
    if code < 0:
        raise RecellError(load().rc_last_error().decode())
    return code


class Program:
    """Owns an `rc_program`. `build("memory", ...)` is `rc_memory` on it, and so for every building call."""

    def __init__(self, *, double: bool, buffers: int, halves: bool = False) -> None:
        library = load()
        self._free = library.rc_program_free  # at interpreter exit the module may be gone before the program
        self.pointer = library.rc_program_new(2 if halves else int(double), buffers)
        if not self.pointer:
            raise RecellError(library.rc_last_error().decode())
        self.buffers, self.double = buffers, double

    def __del__(self) -> None:
        pointer = getattr(self, "pointer", None)
        if pointer:
            self._free(pointer)

    def build(self, call: str, *arguments: int | float) -> int:
        """The id that `rc_<call>` returns."""
        return check(getattr(load(), f"rc_{call}")(self.pointer, *arguments))

    def point(
        self,
        op: str,
        destination: int,
        a: int = NOTHING,
        b: int = NOTHING,
        c: int = NOTHING,
        immediate: int = 0,
    ) -> int:
        """A pointwise instruction of the current stage."""
        return self.build("point", opcode(op), destination, a, b, c, immediate)

    def close(self, buffers: int) -> None:
        """All is built; from now on a run takes `buffers` addresses. RecellError where the program names one beyond."""
        self.build("buffers", buffers)
        self.buffers = buffers

    def pack_bytes(self) -> int:
        """How large `rc_call.packs` must be."""
        return check(load().rc_pack_bytes(self.pointer))

    def run(self, addresses: Sequence[int | None], call: CallArguments) -> None:
        """Runs on buffers given by address, kept alive by the caller; on torch's team of threads if it is loaded."""
        share_team()
        check(load().rc_run(self.pointer, self.pointers(addresses), call))

    def pointers(self, addresses: Sequence[int | None]) -> ctypes.Array[c_void_p]:
        """The addresses as the library takes them."""
        return (c_void_p * max(1, self.buffers))(*addresses)


class Run(NamedTuple):
    """A program with its buffers by address, its call, and what these point at."""

    program: Program
    addresses: Sequence[int | None]
    call: CallArguments
    kept: object = None


def run_all(runs: Sequence[Run]) -> None:
    """Runs that know nothing of each other: side by side where each alone has too few rows for all threads."""
    if len(runs) == 1:
        runs[0].program.run(runs[0].addresses, runs[0].call)
        return
    share_team()
    pointers = [run.program.pointers(run.addresses) for run in runs]
    programs = (c_void_p * len(runs))(*[run.program.pointer for run in runs])
    buffers = (c_void_p * len(runs))(*[ctypes.addressof(p) for p in pointers])
    calls = (CallArguments * len(runs))(*[run.call for run in runs])
    check(load().rc_run_all(len(runs), ctypes.addressof(programs), ctypes.addressof(buffers), ctypes.addressof(calls)))


def thread_count() -> int:
    """`RECELL_NUM_THREADS`, else torch's number if torch is loaded, else the processors this process may use."""
    wanted = os.environ.get("RECELL_NUM_THREADS")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise RecellError(f"RECELL_NUM_THREADS must be a positive number; came {wanted!r}")
        return int(wanted)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    return _processors()


@functools.cache
def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_team_shared = False


def share_team() -> None:
    """Hands torch's OpenMP team to the library, once, when torch is loaded: two teams would fight for the cores."""
    global _team_shared
    if _team_shared or "torch" not in sys.modules:
        return
    _team_shared = True
    path = torch_openmp()
    if path is None:
        return
    openmp = ctypes.CDLL(path)
    names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
    if all(hasattr(openmp, name) for name in names):
        load().rc_set_team(*(ctypes.cast(getattr(openmp, name), c_void_p) for name in names))


def torch_openmp() -> str | None:
    """The libgomp that torch has loaded into this process; other packages may have loaded one of their own."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    found = sorted({line.split(maxsplit=5)[5].strip() for line in maps.read_text().splitlines() if "libgomp" in line})
    return next((path for path in found if "torch" in path), found[0] if found else None)
