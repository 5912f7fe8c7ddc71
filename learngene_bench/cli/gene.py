"""`lgbench gene`: what genes are made of. So far: published files in formats that run code, made into safetensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.plugins.registry import CONVERTERS, Converter
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import file_hash

app = typer.Typer(no_args_is_help=True, help="Prepare files that genes are made of.")

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


for name in CONVERTERS.names():
    app.command(f"convert-{name}")(command_for(name))
