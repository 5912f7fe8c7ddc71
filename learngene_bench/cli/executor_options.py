"""Options of `lgbench run` and `retry` that belong to executors, made from the fields of their `Options`.

A field `per_gpu` becomes `--per-gpu`; its description becomes the help text. An option that several executors have is
listed once. Where `run` or the verb has an option of that name, the executor's name is added: `set` of `slurm` is
`--set-slurm`.
Values are validated by the executor's `Options`, so that a range or a format is stated in one place.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any

import typer

from learngene_bench.config.loader import parse_override
from learngene_bench.contracts.executor import EXECUTORS, Executor
from learngene_bench.execution.executors import RESERVED, executor_class
from learngene_bench.util.errors import UserError


@dataclass(frozen=True)
class ExecutorOption:
    """An option on the command line.

    Attributes:
        field: name of the field of `Options`.
        annotation: type on the command line: `bool`, `str`, or a list of `str` for lists and KEY=VALUE pairs.
        pairs: True if its values are KEY=VALUE.
        executors: names of the executors that have it.
    """

    field: str
    parameter: str
    annotation: Any
    metavar: str
    pairs: bool
    help: str
    executors: tuple[str, ...]

    @property
    def flag(self) -> str:
        return "--" + self.parameter.replace("_", "-")

    def as_parameter(self) -> inspect.Parameter:
        """Returns the parameter that typer makes an option of."""
        names = " and ".join(self.executors)
        info = typer.Option(
            self.flag,
            help=self.help[:1].upper() + self.help[1:] + "." * bool(self.help),
            rich_help_panel=f"Options of --executor {names}",
            metavar=None if self.annotation is bool else self.metavar,
        )
        default = False if self.annotation is bool else None
        annotation = self.annotation if self.annotation is bool else self.annotation | None
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.parameter, kind, default=default, annotation=Annotated[annotation, info])


def add_executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Replaces the `**given` of a command by the options of all executors; to be used as a decorator."""
    signature = inspect.signature(command, eval_str=True)
    common = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {"set", *(name for parameter in common for name in (parameter.name, *_declared(parameter)))}
    options = _options([kind for kind in EXECUTORS.usable() if kind.name not in RESERVED], taken)
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*common, *(option.as_parameter() for option in options.values())]
    )
    command.executor_options = options  # type: ignore[attr-defined]
    return command


def options_of(executor: str, command: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Picks the options of an executor from those given on the command line.

    Raises:
        UserError: an unknown executor, or an option of another executor is given.
    """
    executor_class(executor)
    known: Mapping[str, ExecutorOption] = command.executor_options  # type: ignore[attr-defined]
    picked: dict[str, Any] = {}
    for parameter, value in given.items():
        if value is None or value is False or value == []:
            continue
        option = known[parameter]
        if executor not in option.executors:
            others = " or ".join(option.executors)
            raise UserError(f"{option.flag} goes with --executor {others}")
        picked[option.field] = _pairs(value, option.flag) if option.pairs else value
    return picked


def words_of(executor: str, command: Callable[..., Any], given: Mapping[str, Any]) -> list[str]:
    """Returns the options of an executor as words of the command line: the opposite of `options_of`."""
    known: Mapping[str, ExecutorOption] = command.executor_options  # type: ignore[attr-defined]
    flags = {option.field: option.flag for option in known.values() if executor in option.executors}
    words: list[str] = []
    for field, value in given.items():
        if value is None:  # as if it were not given
            continue
        if isinstance(value, bool):
            words += [flags[field]] if value else []
        elif isinstance(value, Mapping):
            words += [word for key, one in value.items() for word in (flags[field], f"{key}={one}")]
        else:
            every = value if isinstance(value, list | tuple) else [value]
            words += [word for one in every for word in (flags[field], str(one))]
    return words


def _pairs(texts: Sequence[str], flag: str) -> dict[str, Any]:
    return dict(parse_override(text, flag, f"{flag} constraint=a100") for text in texts)


def _options(executors: list[type[Executor]], taken: set[str]) -> dict[str, ExecutorOption]:
    found: dict[str, ExecutorOption] = {}
    for executor in executors:
        for name, field in executor.Options.model_fields.items():
            parameter = f"{name}_{executor.name.replace('-', '_')}" if name in taken else name
            annotation, pairs, metavar = _on_the_command_line(field.annotation)
            others = found[parameter].executors if parameter in found else ()
            text = field.description or ""
            found[parameter] = ExecutorOption(
                name, parameter, annotation, metavar, pairs, text, (*others, executor.name)
            )
    return found


def _on_the_command_line(annotation: Any) -> tuple[Any, bool, str]:
    """Returns the type on the command line, whether its values are pairs, and the placeholder in help texts."""
    arguments = typing.get_args(annotation)
    if NoneType in arguments:
        (annotation,) = (argument for argument in arguments if argument is not NoneType)
        arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation) or annotation
    if origin is bool:
        return bool, False, ""
    if origin is dict:
        return list[str], True, "KEY=VALUE"
    if origin in (list, tuple):
        return list[str], False, "TEXT"
    if origin is typing.Literal:
        return str, False, "|".join(map(str, arguments))
    return str, False, {int: "INTEGER", float: "NUMBER"}.get(origin, "TEXT")


def _declared(parameter: inspect.Parameter) -> list[str]:
    """Lists the names of a common option as parameters would be called: `--set` is `set`."""
    infos = [part for part in typing.get_args(parameter.annotation) if isinstance(part, typer.models.OptionInfo)]
    names = [name for info in infos for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    return [name.lstrip("-").replace("-", "_") for name in names]
