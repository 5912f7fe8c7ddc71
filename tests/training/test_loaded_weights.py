"""Files of weights as people have them: usual wrappings are read, everything else is one line that says what to do."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from learngene_bench.contracts.gene import Gene
from learngene_bench.training.ancestors import ConvNet, load_checkpoint
from learngene_bench.util.errors import UserError
from learngene_bench.util.weight_files import check_weight_file

State = dict[str, Tensor]


def state(value: float = 1.0, classes: int = 3) -> State:
    tensors = ConvNet(1, classes, 2).state_dict()
    return {name: torch.full_like(each, value if each.is_floating_point() else 1) for name, each in tensors.items()}


def loaded(content: Any, folder: Path) -> float:
    """The number that all weights of a network have after loading such a file."""
    torch.save(content, folder / "weights.pth")
    network = ConvNet(1, 3, 2)
    load_checkpoint(network, folder / "weights.pth", "teacher.checkpoint")
    (value,) = {float(number) for tensor in network.state_dict().values() for number in tensor.flatten()}
    return value


def prefixed(prefix: str) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state().items()}


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (state(), ""),
        ({"model": state(), "optimizer": {"lr": 1.0}, "epoch": 3}, "weights of the entry 'model'"),
        ({"model_state_dict": state(), "optimizer_state_dict": {}}, "weights of the entry 'model_state_dict'"),
        ({"net": state(), "acc": 90.0}, "weights of the entry 'net'"),
        (
            {"model": state(2), "state_dict": state(3), "state_dict_ema": state()},
            "weights of the entry 'state_dict_ema' (not of state_dict, model)",
        ),
        ({"model": {"state_dict": state()}}, "weights of the entry 'model', weights of the entry 'state_dict'"),
        (prefixed("module."), "names without 'module.'"),
        ({"state_dict": prefixed("module._orig_mod.")}, "names without 'module.', names without '_orig_mod.'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_usual_wrappings_are_read_the_most_specific_first_and_said(
    content: Any, taken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loaded(content, tmp_path) == 1.0
    said = capsys.readouterr().out.strip()
    assert said.removeprefix(f"checkpoint {tmp_path}/weights.pth: ").split(", ")[-1] == taken.split(", ")[-1]
    assert taken in said


def test_safetensors_are_known_by_their_bytes_whatever_the_suffix(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "weights.bin")
    network = ConvNet(1, 3, 2)
    load_checkpoint(network, tmp_path / "weights.bin", "teacher.checkpoint")
    assert float(network.state_dict()["0.weight"].mean()) == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "args": {"lr": 1.0}}, "no weights found: it holds entries epoch, args; needed are tensors"),
        ([state()], "no weights found: it holds an object of type list"),
        ({0: torch.ones(1), 1: torch.ones(1)}, "no weights found: it holds entries 0, 1; needed are tensors"),
        ({"model": state(), "args": argparse.Namespace(lr=1)}, "it holds a argparse.Namespace, which only unpickling"),
        (state(float("nan")), "numbers in 0.weight are not finite"),
        (state(classes=7), "its head has 7 outputs, and this task has 3 classes"),
        ({**state(), "extra": torch.ones(1)}, "0 are missing, 0 have another shape; 1 are not needed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_everything_else_is_one_line_with_what_was_found(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        loaded(content, tmp_path)
    assert f"{tmp_path}/weights.pth" in str(refused.value)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 22882\n")


def gene_folder(path: Path) -> None:
    path.mkdir()
    for name in ("config.json", "tensors.safetensors", "result.json"):
        (path / name).write_text("{}")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "not found: {path}"),
        (gene_folder, "{path} is a folder: give the file in it, {path}/tensors.safetensors"),
        (lambda path: path.touch(), "{path} is empty (0 bytes)"),
        (pointer, "{path} is a Git LFS pointer, in place of a file of 22,882 bytes: `git lfs pull`"),
        (lambda path: path.write_text("<!DOCTYPE html><title>Log in</title>"), "{path} is a web page"),
        (lambda path: path.write_text("my notes"), "{path}"),
    ],
)
def test_what_lies_in_the_place_of_a_file_is_said_and_no_advice_destroys_it(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "given"
    make(path)
    uses = [Gene.load, lambda path: load_checkpoint(ConvNet(1, 3, 2), path, "")]
    for use in [*uses, check_weight_file] if message != "{path}" else uses:
        with pytest.raises(UserError) as refused:
            use(path)
        assert message.format(path=path) in str(refused.value)
        assert "delete" not in str(refused.value)
