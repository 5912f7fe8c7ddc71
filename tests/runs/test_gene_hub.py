"""Genes of the package, of files and of the hub, which is a server of the tests that answers as the hub does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import hub_server
import pytest
import timm
import torch
from torch import nn
from whole_runs import lgbench_here

import learngene_bench
from learngene_bench.contracts.gene import Gene
from learngene_bench.runs.gene_files import find_gene_file, shipped_genes
from learngene_bench.runs.gene_references import parse_reference
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.base import write
from learngene_bench.schema.leaderboard import read_stages
from learngene_bench.schema.record import GeneRecord, Tensors
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import file_hash

ROOT = Path(__file__).parents[2]
SHIPPED = shipped_genes()["digits-micro"]


def micro(depth: int = 6) -> nn.Module:
    """The model of docs/genes.md."""
    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=12, patch_size=4, in_chans=1, num_classes=10,
        embed_dim=48, num_heads=3, depth=depth, class_token=False, global_pool="avg",
    )  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    with hub_server.running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """A runs folder with the gene of the package, and the plan of a leaderboard that needs it."""
    board = ROOT / "results" / "leaderboards" / "digits"
    (stage,) = (one for address, one in read_stages(board).items() if address.startswith("eb8fd650f4d5909e8568"))
    assert stage.config is not None
    assert isinstance(stage.record, GeneRecord)
    found = Runs(tmp_path / "runs")
    folder = found.folder("gene", stage.address)
    config = stage.config.model_copy(
        update={"execution": stage.config.execution.model_copy(update={"plugins": ("/home/me/secret.py",)})}
    )
    write(folder.config, config)
    folder.tensors.write_bytes(SHIPPED.read_bytes())
    tensors = Tensors(sha256=file_hash(SHIPPED), bytes=SHIPPED.stat().st_size)
    write(folder.result, stage.record.model_copy(update={"tensors": tensors}))
    arguments = ["-m", "wave", "--set", "grid.depths=[4]", "--runs", str(found.root)]
    made = json.loads(lgbench_here("plan", *arguments, "--format", "json").stdout)
    (gene,) = (one for one in made["stages"] if one["kind"] == "gene")
    assert (gene["address"], gene["state"]) == (stage.address, "done")
    return found


def pushed(runs: Runs, *options: str, status: int = 0) -> str:
    """Sends the gene of a runs folder to the hub; returns what is printed."""
    done = lgbench_here("gene", "push", "eb8fd650", "me/waves", "--runs", str(runs.root), *options, status=status)
    return done.stderr if status else done.stdout


def test_a_gene_of_the_package_initializes_a_model_of_timm() -> None:
    model = micro()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    report = learngene_bench.initialize(model, "wave", gene="digits-micro", learn_scalers=False)
    assert not any(torch.equal(model.get_parameter(name), before[name]) for name in report.written)
    assert any("attn.qkv.weight" in name for name in report.written)
    assert (report.gene_source, report.gene_sha256) == ("digits-micro", file_hash(SHIPPED))
    assert "gene digits-micro" in str(report)
    assert report.gene is not None
    assert learngene_bench.initialize(micro(3), "wave", gene=report.gene, learn_scalers=False).gene_source == ""


def test_the_genes_of_the_package_are_small_and_have_a_card() -> None:
    for path in shipped_genes().values():
        assert path.stat().st_size < 500_000
        assert file_hash(path) in path.with_suffix(".md").read_text()
        assert Gene.load(path).method == "wave"


def test_a_gene_goes_to_the_hub_and_comes_back(runs: Runs, hub: hub_server.Hub, tmp_path: Path) -> None:
    told = pushed(runs, "--license", "apache-2.0")
    ((commit, files),) = hub.commits["me/waves"].items()
    pinned = f"hf://me/waves@{commit}#sha256={file_hash(SHIPPED)}"
    assert pinned in told
    assert files.keys() == {"README.md", "gene.safetensors", "config.json", "result.json"}
    assert b"/home/me" not in b"".join(files.values())
    card = files["README.md"].decode()
    for part in ("license: apache-2.0", "scikit-learn digits, 1797 images", "| torch |", "FLOPs", "epochs 60"):
        assert part in card, part
    assert 'learngene_bench.initialize(model, "wave", gene="hf://me/waves")' in card

    report = learngene_bench.initialize(micro(), "wave", gene="hf://me/waves", learn_scalers=False)
    assert report.gene_source == pinned
    asked = len(hub.requests)
    again = learngene_bench.initialize(micro(), "wave", gene=pinned, learn_scalers=False)
    assert again.gene_sha256 == report.gene_sha256
    assert not [request for request in hub.requests[asked:] if request.startswith("GET")]  # it is on this machine

    written = tmp_path / "mine.safetensors"
    assert pinned in lgbench_here("gene", "pull", "hf://me/waves", "-o", str(written)).stdout
    assert written.read_bytes() == SHIPPED.read_bytes()


def test_a_pulled_gene_is_used_by_runs(runs: Runs, hub: hub_server.Hub, tmp_path: Path) -> None:
    pushed(runs, "--license", "apache-2.0")
    fresh = Runs(tmp_path / "fresh")
    lgbench_here("gene", "pull", "hf://me/waves", "--runs", str(fresh.root))
    lgbench_here("gene", "pull", "hf://me/waves", "--runs", str(fresh.root))  # it is there already
    (path,) = fresh.root.glob("gene/*/config.json")
    folder = fresh.folder("gene", json.loads(path.read_text())["address"])
    assert folder.state() is State.DONE
    assert folder.read_record(GeneRecord).tensors.sha256 == file_hash(folder.tensors)
    assert folder.read_config().execution.plugins == ()


def test_a_gene_that_another_process_makes_is_not_pulled_meanwhile(
    runs: Runs, hub: hub_server.Hub, tmp_path: Path
) -> None:
    pushed(runs, "--license", "apache-2.0")
    (path,) = runs.root.glob("gene/*/config.json")
    folder = Runs(tmp_path / "fresh").folder("gene", json.loads(path.read_text())["address"])
    folder.path.mkdir(parents=True)
    pull = ("gene", "pull", "hf://me/waves", "--runs", str(tmp_path / "fresh"))
    with folder.acquire():
        assert "another process makes this gene just now" in lgbench_here(*pull, status=2).stderr
    assert folder.state() is State.WAITING
    folder.fail("gene", "out of memory", "")
    lgbench_here(*pull)
    assert sorted(file.name for file in folder.path.iterdir()) == ["config.json", "result.json", "tensors.safetensors"]


def test_a_gene_that_changes_is_refused_by_its_hash(runs: Runs, hub: hub_server.Hub) -> None:
    pushed(runs, "--license", "apache-2.0")
    (first,) = hub.commits["me/waves"]
    hub.commit("me/waves", {"gene.safetensors": b"something else"})
    with pytest.raises(UserError, match="the file has SHA-256"):
        find_gene_file(f"hf://me/waves#sha256={file_hash(SHIPPED)}")
    assert find_gene_file(f"hf://me/waves@{first}").sha256 == file_hash(SHIPPED)
    wrong = lgbench_here("gene", "pull", "hf://me/waves", "--runs", str(runs.root), status=2).stderr
    assert "its record is of a file with SHA-256" in wrong


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("hf://me", "a gene of the hub is hf://USER/NAME"),
        ("hf://me/nothing", "the hub has no such repository"),
        ("hf://me/empty@0000", "no such revision"),
        ("hf://me/other", "no such file"),
        ("digits-mikro", "did you mean 'digits-micro'"),
        ("nowhere.safetensors", "gene not found: nowhere.safetensors"),
    ],
)
def test_what_is_wrong_with_a_gene_is_one_line(given: str, words: str, hub: hub_server.Hub) -> None:
    hub.commits["me/empty"] = {}
    hub.commits["me/other"] = {}
    hub.commit("me/other", {"README.md": b""})
    with pytest.raises(UserError, match=words) as caught:
        find_gene_file(given)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_wrong_with_sending_one_is_one_line(
    runs: Runs, hub: hub_server.Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "--license NAME says under which licence" in pushed(runs, status=2)
    folder = tmp_path / "looked-at"
    assert "nothing was sent" in pushed(runs, "--license", "mit", "-o", str(folder))
    assert not hub.commits
    assert "license: mit" in (folder / "README.md").read_text()
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    assert "hf auth login" in pushed(runs, "--license", "mit", status=2)
    hub.shutdown()
    hub.server_close()
    told = pushed(runs, "--license", "mit", status=2)
    assert len(told.splitlines()) == 1


def test_a_reference_reads_as_it_is_written() -> None:
    text = f"hf://a/b@v1.0#sha256={'0' * 64}"
    assert str(parse_reference(text)) == text
    for wrong in ("hf://a/b/c", "hf://a/b#sha256=12", "hf://a b/c"):
        with pytest.raises(UserError):
            parse_reference(wrong)
