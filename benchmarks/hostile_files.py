"""Mutates documents, images, archives and weights at random, and counts answers that are not as they should be.

    python benchmarks/hostile_files.py [--mutations 2000] [--seed 0]

Three quarters are documents of a runs folder or a leaderboard, each read by a command; the rest are presets, grids,
images, archives, genes and checkpoints, read by the functions that commands read them with. An answer should be a
result, or one line that names the file (exit status 2). The claim under test: no traceback, no unexpected error, no
escape sequence, no file left behind, and none outside of the folder. The same seed gives the same mutations.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save

from learngene_bench.config.loader import load_grid, load_preset, shipped_files
from learngene_bench.contracts.gene import Gene
from learngene_bench.data.decoding import decoded
from learngene_bench.models.vit.modules import build_vit
from learngene_bench.models.vit.spec import ViTSpec
from learngene_bench.tasks.datasets.archives import Archive, silent
from learngene_bench.training.ancestors import load_checkpoint
from learngene_bench.util.errors import UserError

SPEC = ViTSpec(depth=2, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5)


def images() -> dict[str, bytes]:
    """An image of each format, by suffix."""
    picture, made = Image.effect_noise((24, 20), 60).convert("RGB"), {}
    for suffix in ("png", "jpeg", "webp", "bmp", "ppm", "tiff", "gif"):
        stream = io.BytesIO()
        picture.save(stream, suffix)
        made[suffix] = stream.getvalue()
    return made


def archives() -> dict[str, bytes]:
    """An archive of each kind with `member/x` in it, by suffix."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member/x", b"content" * 300)
    made = {"zip": packed.getvalue()}
    for suffix in ("tar", "tar.gz", "tar.xz"):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=f"w:{suffix.partition('.')[2]}") as tar:
            entry = tarfile.TarInfo("member/x")
            entry.size = 2100
            tar.addfile(entry, io.BytesIO(b"content" * 300))
        made[suffix] = stream.getvalue()
    return made


def unpack(path: Path) -> None:
    checksum = f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"
    Archive("http://127.0.0.1:9/", checksum, path.name, "member", "unpacked").fetch(path.parent, silent)


def readers(folder: Path) -> dict[str, tuple[bytes, Callable[[Path], object]]]:
    """Whole files by name, each with the function that reads it."""
    found: dict[str, tuple[bytes, Callable[[Path], object]]] = {}
    for suffix, content in images().items():
        found[f"image.{suffix}"] = content, lambda path: decoded(path, 3)
    for suffix, content in archives().items():
        found[f"archive.{suffix}"] = content, unpack
    torch.manual_seed(0)
    model = build_vit(SPEC)
    gene = folder / "gene.safetensors"
    Gene("wave", SPEC, {"templates": torch.ones(3, 4)}, {"size": 2}).save(gene)
    found["gene.safetensors"] = gene.read_bytes(), Gene.load
    checkpoint = io.BytesIO()
    torch.save({"model": model.state_dict()}, checkpoint)
    found["weights.pt"] = checkpoint.getvalue(), lambda path: load_checkpoint(model, path, "teacher.weights")
    for name, load in (("digits", load_preset), ("width", load_grid)):
        kind = "preset" if load is load_preset else "grid"
        found[f"{kind}.toml"] = shipped_files(kind)[name].read_bytes(), lambda path, load=load: load(str(path))
    found["weights.safetensors"] = (
        save(dict(model.state_dict())),
        lambda path: load_checkpoint(model, path, "teacher.weights"),
    )
    return found


def file_fault(folder: Path, name: str, content: bytes, reader: Callable[[Path], object]) -> str | None:
    """Reads a file, and returns what is wrong with the answer, if anything is."""
    shutil.rmtree(folder)
    folder.mkdir()
    path = folder / name
    path.write_bytes(content)
    try:
        reader(path)
        left = {other.name for other in folder.iterdir()} - {name, "unpacked"}
        return f"{name}: left {', '.join(sorted(left))}" if left else None
    except UserError as error:
        text = str(error)
        return None if "\n" not in text and (name in text or "unpacked" in text) else f"{name}: {text!r}"
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from hostile_runs import faults, make
    from mutations import changed_bytes, mutated

    os.environ["LGBENCH_CACHE"] = ""
    began, kinds, found = time.monotonic(), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        folder, single = place / "all", place / "single"
        for one in (folder, single):
            one.mkdir()
        os.chdir(place)
        make(folder)
        known = readers(single)
        for number in range(options.mutations):
            if number % 4:
                kinds["documents"] += 1
                found += faults(folder, number, options.seed)
            else:
                chance = random.Random(f"{options.seed} {number}")
                name, (content, reader) = chance.choice(sorted(known.items(), key=lambda item: item[0]))
                kinds[name] += 1
                change = mutated if name.endswith(".toml") else changed_bytes
                fault = file_fault(single, name, change(content, chance), reader)
                found += [f"mutation {number} of seed {options.seed}: {fault}"] if fault else []
            outside = {path.name for path in place.iterdir()} - {"all", "single"}
            found += [f"mutation {number} of seed {options.seed}: {name} is outside" for name in outside]
    for fault in found:
        print(fault)
    print(", ".join(f"{name} {count}" for name, count in sorted(kinds.items())))
    seconds = time.monotonic() - began
    print(f"{options.mutations} mutations in {seconds:.0f} s: {len(found)} answers are not as they should be")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
