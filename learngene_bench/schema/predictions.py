"""predictions.npz: what a model predicts for each image, in the order of the split.

One-dimensional arrays, an entry for each image:

    predicted    class of the greatest output, unsigned integers of as few bytes as the classes need
    confidence   its probability, float32
    label        the true class, unsigned integers
    probabilities   of all classes, float16 (images, classes); only if that was asked for

numpy reads it: `np.load("predictions.npz")["predicted"]`. The record beside it names it by its hash. The reader of this
module unpickles nothing, and takes no more memory than so many images can need, whatever the file says of itself.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngene_bench.schema.record import Tensors
from learngene_bench.util.errors import DamagedFile, describe_error
from learngene_bench.util.files import read_bytes
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREDICTIONS = "predictions.npz"
"""Name of the file beside a cell's record."""

_ARRAYS = {"predicted": "u", "confidence": "f", "label": "u"}
"""Kind of number in each array that is read."""
_HEADER, _NUMBER = 1024, 4
"""Most bytes of an array's header, and of one number."""


@dataclass(frozen=True)
class Predictions:
    """The predictions of one model for the images of one split.

    Attributes:
        predicted: predicted classes, (N,).
        confidence: probability of the predicted class, (N,), in 0..1; not finite where the network gave no number.
        label: true classes, (N,).
        probabilities: probabilities of all classes, (N, classes); None if they were not kept, or not read.
    """

    predicted: NDArray[np.unsignedinteger[Any]]
    confidence: NDArray[np.float32]
    label: NDArray[np.unsignedinteger[Any]]
    probabilities: NDArray[np.float16] | None = None

    @property
    def right(self) -> NDArray[np.bool_]:
        """True for each image whose predicted class is its label, (N,)."""
        found: NDArray[np.bool_] = self.predicted == self.label
        return found

    def content(self) -> bytes:
        """Returns the content of the file; the same predictions give the same bytes on one machine."""
        arrays = {name: getattr(self, name) for name in (*_ARRAYS, "probabilities")}
        stream = io.BytesIO()
        np.savez_compressed(stream, **{name: array for name, array in arrays.items() if array is not None})
        return stream.getvalue()


def read_predictions(path: Path, recorded: Tensors, images: int) -> Predictions:
    """Reads the file of a record, without the probabilities of all classes.

    Args:
        path: the file.
        recorded: what the record says of it.
        images: number of images that the record names.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such file, as where only records were copied.
        DamagedFile: it is not the file of the record, or cannot be read as predictions.
    """
    try:
        content = read_bytes(path)
        if (len(content), sha256(content).hexdigest()) != (recorded.bytes, recorded.sha256):
            raise ValueError("its hash differs from the record's")
        return parse_predictions(content, images)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise DamagedFile(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DamagedFile(f"{path}: damaged ({error})") from None


def has_probabilities(path: Path) -> bool:
    """Returns True if a file of predictions holds the probabilities of all classes."""
    with zipfile.ZipFile(path) as archive:
        return "probabilities.npy" in archive.namelist()


def parse_predictions(content: bytes, images: int) -> Predictions:
    """Reads predictions for this number of images.

    Raises:
        ValueError: these are none; one line says why.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = {name: _array(archive, name, kind, images) for name, kind in _ARRAYS.items()}
    except KeyError:
        raise ValueError(f"it lacks one of {', '.join(_ARRAYS)}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, struct.error, OverflowError) as error:
        raise ValueError(f"no file of numpy: {describe_error(error)}") from None
    confidence = found["confidence"]
    if ((confidence < 0) | (confidence > 1)).any():
        raise ValueError("a confidence is not between 0 and 1")
    return Predictions(found["predicted"], confidence, found["label"])


def _array(archive: zipfile.ZipFile, name: str, kind: str, images: int) -> NDArray[Any]:
    """Reads one array, of one number for each image. Raises `ValueError` if it is none."""
    most = _HEADER + _NUMBER * images
    with archive.open(f"{name}.npy") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{name!r} is larger than {images} numbers")
    rest = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(rest)
        shape, _, number = np.lib.format.read_array_header_1_0(rest, max_header_size=_HEADER)
    except Exception:  # numpy parses it as Python's literals, which fail in many ways
        version = None
    if version != (1, 0):
        raise ValueError(f"{name!r} has no header of numpy's version 1.0")
    if shape != (images,) or number.kind != kind or len(content) - rest.tell() != images * number.itemsize:
        raise ValueError(f"{name!r} is no array of {images} {'classes' if kind == 'u' else 'probabilities'}")
    return np.frombuffer(content, number, offset=rest.tell())
