"""Images from idx files, the form of MNIST (LeCun et al. 1998), packed with gzip or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.data.files import reason
from recell.errors import DataError, message

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> NDArray[Any]:
    """The array of an idx file: two zero bytes, a type, the number of sizes, the sizes, the values, all big-endian."""
    content = _content(Path(path))
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise DataError(message(f"{path} is no idx file", came=f"the bytes {content[:4].hex()}", write="one as MNIST's are"))
    first = 4 + 4 * content[3]
    sizes = tuple(np.frombuffer(content[4:first], ">u4").tolist()) if len(content) >= first else None
    kind = np.dtype(_TYPES[content[2]])
    if sizes is None or len(content) - first != math.prod(sizes) * kind.itemsize:
        held, told = max(0, len(content) - first), "" if sizes is None else f" where its sizes {sizes} tell another number"
        raise DataError(f"{path} is damaged: it holds {held:,} bytes of values{told}; fetch it again")
    return np.frombuffer(content, kind, offset=first).reshape(sizes).astype(kind.newbyteorder("="), copy=False)


def read_images(path: str | Path) -> NDArray[Any]:
    """Images (N, height, width) of an idx file."""
    images = read_idx(path)
    if images.ndim != 3:
        raise DataError(message(f"{path} holds no grey images: its shape is {images.shape}", write="a file images-idx3"))
    return images


def labels_beside(path: str | Path) -> NDArray[Any]:
    """The labels (N,) that lie beside a file of images: train-labels-idx1-ubyte.gz beside train-images-idx3-ubyte.gz."""
    path = Path(path)
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if beside == path or not beside.is_file():
        raise DataError(message(f"the labels of {path} are not beside it", write=f"the file {beside.name} there"))
    labels = read_idx(beside)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        came = f"{labels.dtype} of the shape {labels.shape}"
        raise DataError(message(f"{beside} holds no whole number for each image", came=came, write="labels-idx1"))
    return labels


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged: {error}; fetch it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
