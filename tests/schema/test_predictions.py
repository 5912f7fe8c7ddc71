"""predictions.npz: read as it was written, small, and nothing but one line where it is not what its record says."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learngene_bench.schema.predictions import Predictions, parse_predictions, read_predictions
from learngene_bench.schema.record import Tensors
from learngene_bench.util.errors import DamagedFile

IMAGES = 1000


def some(classes: int = 10, probabilities: bool = False) -> Predictions:
    random = np.random.default_rng(0)
    number = np.min_scalar_type(classes - 1)
    drawn = random.dirichlet(np.ones(classes), IMAGES).astype(np.float32)
    return Predictions(
        drawn.argmax(1).astype(number),
        drawn.max(1),
        (np.arange(IMAGES) % classes).astype(number),
        drawn.astype(np.float16) if probabilities else None,
    )


def described(content: bytes) -> Tensors:
    return Tensors(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


@pytest.mark.parametrize("classes", [10, 1000])
def test_predictions_are_read_as_they_were_written(tmp_path: Path, classes: int) -> None:
    written = some(classes, probabilities=True)
    content = written.content()
    assert content == some(classes, probabilities=True).content()
    (tmp_path / "predictions.npz").write_bytes(content)
    found = read_predictions(tmp_path / "predictions.npz", described(content), IMAGES)
    for name in ("predicted", "confidence", "label"):
        assert getattr(found, name).dtype == getattr(written, name).dtype
        assert getattr(found, name).tolist() == getattr(written, name).tolist()
    assert found.right.tolist() == [p == t for p, t in zip(written.predicted, written.label, strict=True)]
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as arrays:  # as anybody reads it
        assert arrays["probabilities"].dtype == np.float16
        assert arrays["probabilities"] == pytest.approx(written.probabilities)


def test_predictions_of_ten_classes_need_less_than_six_bytes_an_image() -> None:
    assert len(some().content()) < 6 * IMAGES + 1000


def arrays(**changes: Any) -> bytes:
    found = some()
    every = {name: getattr(found, name) for name in ("predicted", "confidence", "label")} | changes
    stream = io.BytesIO()
    np.savez_compressed(stream, **{name: array for name, array in every.items() if array is not None})
    return stream.getvalue()


def with_entry(content: bytes) -> bytes:
    """A file whose predicted classes are these bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("predicted.npy", content)
    return stream.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no file of numpy: BadZipFile"),
        (arrays()[:-30], "no file of numpy: BadZipFile"),
        (arrays(label=None), "it lacks one of predicted, confidence, label"),
        (arrays(predicted=np.zeros(IMAGES - 1, np.uint8)), "'predicted' is no array of 1000 classes"),
        (arrays(predicted=np.zeros((IMAGES, 1), np.uint8)), "'predicted' is no array of 1000 classes"),
        (arrays(predicted=np.zeros(IMAGES, np.int64)), "'predicted' is larger than 1000 numbers"),
        (arrays(label=np.zeros(IMAGES, np.int8)), "'label' is no array of 1000 classes"),
        (arrays(label=np.array(["a", {}], object)), "'label' is no array of 1000 classes"),
        (arrays(confidence=np.full(IMAGES, 1.5, np.float32)), "a confidence is not between 0 and 1"),
        (with_entry(b"\x00" * 10**7), "'predicted' is larger than 1000 numbers"),
        (with_entry(b"none"), "'predicted' has no header of numpy"),
        (with_entry(header("__import__('os').abort()\n")), "'predicted' has no header of numpy"),
        (with_entry(header("(" * 900)), "'predicted' has no header of numpy"),
        (with_entry(header("{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000,)}\n")), "no array of"),
        (with_entry(header("{'descr': '|u1', 'fortran_order': False, 'shape': (1000,)}\n")), "no array of"),
    ],
)
def test_what_is_no_file_of_predictions_is_one_line(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse_predictions(content, IMAGES)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_record_is_named(tmp_path: Path) -> None:
    path, content = tmp_path / "predictions.npz", some().content()
    with pytest.raises(FileNotFoundError):
        read_predictions(path, described(content), IMAGES)
    path.write_bytes(content + b"x")
    with pytest.raises(DamagedFile, match=r"predictions.npz: damaged \(its hash differs from the record's\)"):
        read_predictions(path, described(content), IMAGES)
    path.unlink()
    path.mkdir()
    with pytest.raises(DamagedFile, match=r"predictions.npz: cannot be read"):
        read_predictions(path, described(content), IMAGES)
