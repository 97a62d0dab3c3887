"""One folder a backend, found by being there; none imports another.

A backend's `backend.py` has `DTYPES`, the dtypes it runs, and `make(cell, sizes, dtype, variant) -> Kernel`.
"""
