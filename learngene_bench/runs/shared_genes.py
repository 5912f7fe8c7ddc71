"""A gene of a runs folder as the files of a repository on the hub, and back."""

from __future__ import annotations

from learngene_bench.runs.gene_card import gene_card
from learngene_bench.runs.gene_references import HUB, GeneFile
from learngene_bench.runs.hub import CARD, CONFIG, RECORD, TENSORS
from learngene_bench.runs.store import Runs, StageFolder, State
from learngene_bench.schema.base import text_of, write
from learngene_bench.schema.record import GeneRecord
from learngene_bench.schema.stage import Execution, StageFile
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import read_bytes, write_bytes


def gene_repository(folder: StageFolder, repository: str, license: str) -> dict[str, bytes]:
    """Returns the files of a gene's repository, by name; paths of this machine are left out.

    Raises:
        UserError: the gene is not done, or its file is damaged or missing.
    """
    from learngene_bench.runs.tensors import check_hash  # takes torch along

    if folder.state() is not State.DONE:
        raise UserError(f"{folder.path}: this gene is not done ({folder.state()})")
    file, record = folder.read_config(), folder.read_record(GeneRecord)
    check_hash(folder, record.tensors)
    return {
        CARD: gene_card(file, record, license, f"{HUB}{repository}").encode(),
        TENSORS: read_bytes(folder.tensors),
        CONFIG: text_of(_anywhere(file)).encode(),
        RECORD: text_of(record).encode(),
    }


def add_pulled_gene(runs: Runs, file: StageFile, record: GeneRecord, found: GeneFile) -> StageFolder:
    """Adds a gene of the hub to a runs folder, as if it had been made there.

    Raises:
        DamagedFile: its record is of another file.
        UserError: the folder has this gene already, with other numbers, or another process makes it just now.
    """
    if record.tensors.sha256 != found.sha256:
        raise DamagedFile(f"{found.source}: its record is of a file with SHA-256 {record.tensors.sha256}")
    folder = runs.folder("gene", file.address)
    if folder.state() is not State.DONE:
        runs.check_writable()
        folder.path.mkdir(parents=True, exist_ok=True)
        with folder.acquire() as held:
            if not held:
                raise UserError(f"{folder.path}: another process makes this gene just now")
            if not folder.result.exists():
                write(folder.config, _anywhere(file))
                write_bytes(folder.tensors, read_bytes(found.path))
                folder.finish(record)
    if folder.read_record(GeneRecord).tensors.sha256 != found.sha256:
        raise UserError(f"{folder.path}: the gene is there with other numbers: choose another runs folder")
    return folder


def _anywhere(file: StageFile) -> StageFile:
    """Returns a configuration without what only held on the machine that it was made on."""
    before = file.execution
    data = {name: value for name, value in file.config.data.items() if name != "fingerprint"}
    execution = Execution(
        command=before.command, code=before.code, checkpoint_seconds=before.checkpoint_seconds, data=data
    )
    return file.model_copy(update={"execution": execution})
