"""`lgbench gene`: genes on the Hugging Face hub, and published files that genes are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.plugins.registry import CONVERTERS, Converter
from learngene_bench.runs.gene_references import HubReference, parse_reference
from learngene_bench.runs.hub import download, download_record, upload
from learngene_bench.runs.listing import list_genes
from learngene_bench.runs.lookup import find_one
from learngene_bench.runs.shared_genes import add_pulled_gene, gene_repository
from learngene_bench.runs.store import Runs
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import file_hash, write_bytes

app = typer.Typer(
    no_args_is_help=True, help="Share genes on the Hugging Face hub; prepare files that genes are made of."
)

TrustOption = Annotated[
    bool, typer.Option("--trust", help="Read the file although reading it may run code that is in it.")
]
OutputOption = Annotated[
    Path | None, common.path_option("-o", "--output", help="File to write; by default FILE's name with .safetensors.")
]


def command_for(name: str) -> Callable[..., None]:
    """Makes the command `convert-NAME`."""

    def convert(
        file: Annotated[Path, common.path_argument(metavar="FILE", help="The file that the authors published.")],
        trust: TrustOption = False,
        output: OutputOption = None,
    ) -> None:
        written = output or file.with_suffix(".safetensors")
        if not file.is_file():
            raise UserError(f"{file}: no such file")
        if written.suffix != ".safetensors":
            raise UserError(f"{written}: what is written is safetensors, so the name must end in .safetensors")
        if written.exists():
            raise UserError(f"{written} exists already; choose another name with --output FILE")
        if not trust:
            raise UserError(
                f"{file}: to read a pickle is to run the code in it, with all that you may do on this machine; "
                f"if you trust whoever made it, add --trust (SHA-256 {file_hash(file)})"
            )
        read: Converter = CONVERTERS.load(name)

        from learngene_bench.runs.tensors import save_tensors

        tensors = read(file)
        save_tensors(dict(sorted(tensors.items())), written)
        console = common.console()
        numbers = sum(tensor.numel() for tensor in tensors.values())
        console.print(Text(f"{written}: {len(tensors)} tensors, {numbers:,} numbers"), soft_wrap=True)
        console.print(Text(f"lgbench run --method {name} --set {name}.weights={written} uses it"), soft_wrap=True)

    convert.__doc__ = f"Write a file that {name}'s authors published as safetensors, for --set {name}.weights=FILE."
    return convert


@app.command("push")
def push(
    gene: Annotated[
        list[str], typer.Argument(metavar="GENE USER/NAME", help=f"A gene, {common.NAMING}; and where to.")
    ],
    runs: common.RunsOption = Path("runs"),
    license: Annotated[
        str | None,
        typer.Option(
            "--license", metavar="NAME", help="Licence of the gene by the hub's name: apache-2.0, cc-by-4.0. Needed."
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Show a new repository to nobody else.")] = False,
    output: Annotated[
        Path | None, common.path_option("-o", "--output", help="Write the files into this folder and send nothing.")
    ] = None,
) -> None:
    """Send a gene of a runs folder to the Hugging Face hub, with its record and a card made from it."""
    *words, repository = gene
    if not words or "/" not in repository:
        raise UserError('give a gene and where to send it: lgbench gene push "gene wave width 48 seed 0" USER/NAME')
    if not license:
        raise UserError("--license NAME says under which licence: apache-2.0, cc-by-4.0, ... (names of the hub)")
    store = Runs(runs)
    folder = store.folder("gene", find_one(list_genes(store), " ".join(words), "gene").address)
    files = gene_repository(folder, repository, license)
    console = common.console()
    if output:
        for name, content in files.items():
            write_bytes(output / name, content)
        console.print(Text(f"{output}: {', '.join(files)}; nothing was sent"), soft_wrap=True)
        return
    commit = upload(repository, files, f"gene {folder.address[:20]}", private=private)
    pinned = HubReference(repository, commit, file_hash(folder.tensors))
    console.print(Text(f"sent; for ever the same: {pinned}"), soft_wrap=True)


@app.command("pull")
def pull(
    gene: Annotated[str, typer.Argument(metavar="hf://USER/NAME", help="The gene; @REVISION and #sha256=HEX pin it.")],
    output: OutputOption = None,
    runs: Annotated[
        Path | None, common.path_option("--runs", help="Runs folder whose runs use it instead of making their own.")
    ] = None,
) -> None:
    """Fetch a gene from the Hugging Face hub: into a file, or into a runs folder that uses it from then on."""
    reference = parse_reference(gene)
    found = download(reference)
    pinned = parse_reference(found.source)
    console = common.console()
    if runs is None or output:
        written = output or Path(f"{reference.repository.rpartition('/')[2]}.safetensors")
        if written.exists() and file_hash(written) != found.sha256:
            raise UserError(f"{written} exists already and is another file; choose another name with --output FILE")
        write_bytes(written, found.path.read_bytes())
        console.print(Text(f"{written}"), soft_wrap=True)
    if runs is not None:
        folder = add_pulled_gene(Runs(runs), *download_record(pinned), found)
        console.print(Text(f"{folder.path}: runs of {runs} use it where they need this gene"), soft_wrap=True)
    console.print(Text(f"for ever the same: {found.source}"), soft_wrap=True)


for name in CONVERTERS.names():
    app.command(f"convert-{name}")(command_for(name))
