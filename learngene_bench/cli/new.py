"""`lgbench new NAME`: a file to start an initializer of one's own from."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import write_text

TEMPLATE = '''\
"""{title}: what is new about it, and where it was published."""

from pydantic import Field

from learngene_bench import Initializer, Section, write_weights
from learngene_bench.util.lazy import torch  # torch, imported when first used, so that `lgbench list` stays quick


class {kind}Options(Section):
    gain: float = Field(1.0, gt=0, description="multiplies every matrix")  # --set {name}.gain=0.5


class {kind}(Initializer[{kind}Options]):
    """Every matrix of a block is a random orthogonal one, times a gain. Say here what is faithful, what is a choice."""

    name = "{name}"
    title = "{title}"  # in tables
    group = "direct"  # "transfer", "learngene": from a trained model; "pre-training"
    version = 1  # raise it when your numbers change; while this is a plugin file, its text counts as well
    Options = {kind}Options

    def initialize(self, model, target, gene, context):
        generator = context.generator("blocks")  # all randomness comes from the context, so that seeds are paired
        weights = {{}}
        for name, shape in target.parameter_shapes().items():  # timm's names; what is not written keeps its base value
            if name.startswith("blocks.") and len(shape) == 2:
                drawn = torch.empty(shape)
                torch.nn.init.orthogonal_(drawn, self.options.gain, generator=generator)
                weights[name] = drawn
        write_weights(model, weights)

    # Next steps; `lgbench check {name} --plugin {file}` tests that all still fits together.
    # It is for Vision Transformers; families = None says that it works for any family of models.
    # Where it cannot work: return the reason from supports(self, target, base), and tables show a dash.
    # To hand over what a trained model knows, make a gene, once for all targets; initialize() gets it as `gene`:
    #   from learngene_bench import Gene, GeneRequest, Pretrained
    # def gene_request(self, target, base):  # base: the 12-layer model of the target's size
    #     return GeneRequest(family=base, ancestors={{"source": Pretrained(base)}})
    # def prepare(self, request, context):  # to distil instead: Distiller(), trains=("condensation",), context.train
    #     return Gene(self.name, request.family, dict(context.ancestors["source"].named_parameters()))
    # def stored_shapes(self, target, base):  # what is handed over, for the parameter column of tables
    #     return base.parameter_shapes()
    # To learn something for each target: trains() returns ("inheritance",), and initialize() calls context.train once.
'''


def new(
    name: Annotated[str, typer.Argument(help="Name that a user will type: lower case, with hyphens.")],
    output: Annotated[
        Path | None, common.path_option("-o", "--output", help="The file; by default NAME.py here.")
    ] = None,
) -> None:
    """Write a short file that is an initializer already, with comments that lead to the next step."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UserError(f"method name {name!r}: lower-case letters, digits and single hyphens, as in my-init")
    if name == "all" or name in Registry().names():
        raise UserError(f"method name {name!r} is taken (taken: all, {', '.join(Registry().names())})")
    path = output or Path(f"{name.replace('-', '_')}.py")
    if path.suffix != ".py":
        raise UserError(f"{path}: a plugin is a Python file, so its name must end in .py")
    if path.exists():
        raise UserError(f"{path} exists already; choose another name, or --output FILE")
    words = name.split("-")
    title, kind = " ".join(word.capitalize() for word in words), "".join(word.capitalize() for word in words)
    kind += "Init" * keyword.iskeyword(kind)  # a method called "none"
    write_text(path, TEMPLATE.format(name=name, title=title, kind=kind, file=path))
    console = common.console()
    console.print(Text(f"{path} written; it runs as it is:"), soft_wrap=True)
    console.print(Text(f"  lgbench check {name} --plugin {path}"), soft_wrap=True)
    console.print(Text(f"  lgbench run --plugin {path} --method {name},wave --grid depth"), soft_wrap=True)
