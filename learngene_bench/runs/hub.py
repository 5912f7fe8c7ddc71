"""The Hugging Face hub: genes are sent to it and fetched from it, with their records.

A repository of a gene holds four files:

    README.md           its card, made from the record
    gene.safetensors    its tensors
    config.json         how it was made, by which its address is checked
    result.json         its record: cost, versions, machine, hash

`HF_ENDPOINT` names another server than huggingface.co, `HF_TOKEN` or `hf auth login` an account.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from learngene_bench.runs.gene_references import GeneFile, HubReference
from learngene_bench.schema.base import read
from learngene_bench.schema.record import GeneRecord
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import DamagedFile, UserError, first_line
from learngene_bench.util.files import file_hash

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TENSORS, CONFIG, RECORD, CARD = "gene.safetensors", "config.json", "result.json", "README.md"


def download(reference: HubReference) -> GeneFile:
    """Fetches the tensors of a gene into the hub's cache on this machine; what is there already is not fetched again.

    Raises:
        UserError: it is not there, the hub does not answer, or the file has another hash.
    """
    path = _fetched(reference, TENSORS)
    found = file_hash(path)
    if reference.sha256 not in (None, found):
        raise UserError(f"{reference}: the file has SHA-256 {found}")
    return GeneFile(path, str(HubReference(reference.repository, _commit_of(path), found)), found)


def download_record(reference: HubReference) -> tuple[StageFile, GeneRecord]:
    """Fetches the configuration and the record of a gene, by which it is told what it is.

    Raises:
        UserError: see `download`; or they are not those of a gene.
    """
    config = read(StageFile, _fetched(reference, CONFIG))
    record = read(GeneRecord, _fetched(reference, RECORD))
    if config.kind != "gene" or config.address != record.address:
        raise DamagedFile(f"{reference}: {CONFIG} and {RECORD} are not of one gene")
    return config, record


def upload(repository: str, files: Mapping[str, bytes], message: str, *, private: bool) -> str:
    """Sends files in one commit to a repository, which is made if there is none; returns the commit.

    Raises:
        UserError: no account, no permission, or the hub does not answer.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII):
        raise UserError(f"{repository}: a repository of the hub is USER/NAME")
    with _in_one_line(repository):
        from huggingface_hub import CommitOperationAdd

        hub = _hub()
        hub.create_repo(repository, private=private, exist_ok=True)
        added = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()]
        return str(hub.create_commit(repository, added, commit_message=message).oid)


def _fetched(reference: HubReference, name: str) -> Path:
    with _in_one_line(str(reference)):
        return Path(_hub().hf_hub_download(reference.repository, name, revision=reference.revision))


def _commit_of(path: Path) -> str:
    """Returns the commit of a file in the hub's cache, where files lie in a folder of it."""
    return path.parent.name


def _hub() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="learngene-bench")


@contextmanager
def _in_one_line(what: str) -> Iterator[None]:
    """Turns the errors of the hub into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError("the hub needs the package huggingface_hub: pip install huggingface_hub") from error
    except Exception as error:
        raise UserError(f"{what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    reasons = {
        "RepositoryNotFoundError": "the hub has no such repository, or shows it only to others (hf auth login)",
        "RevisionNotFoundError": "the repository has no such revision",
        "RemoteEntryNotFoundError": f"the repository has no such file; one of a gene holds {TENSORS}",
        "GatedRepoError": "the hub asks for an agreement on the repository's page first",
        "LocalEntryNotFoundError": "the hub does not answer, and no copy is on this machine",
        "LocalTokenNotFoundError": "the hub needs an account: hf auth login, or HF_TOKEN",
    }
    kind = type(error).__name__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403) and kind == "HfHubHTTPError":
        return f"the hub refuses it (status {status}): hf auth login, or a token that may write"
    return reasons.get(kind, f"{kind}: {first_line(error)}")
