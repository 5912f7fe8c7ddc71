"""Entry point of `lgbench`: the verbs, and what a user sees of an error."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import typer
from pydantic import ValidationError

from learngene_bench.cli import (
    analyze,
    cancel,
    check,
    data,
    doctor,
    evaluate,
    export,
    gene,
    info,
    leaderboard,
    list_,
    logs,
    new,
    plan,
    plot,
    report,
    rerun,
    retry,
    run,
    status,
    track,
)
from learngene_bench.config.messages import format_value_error
from learngene_bench.util.entry_points import names_of_others
from learngene_bench.util.errors import UserError
from learngene_bench.util.streams import accept_any_text
from learngene_bench.util.supervision import Unreported, supervised
from learngene_bench.util.terminal import terminal_text
from learngene_bench.version import PROTOCOL, __version__

app = typer.Typer(
    name="lgbench",
    help="Benchmark of learngene and initialization methods for Vision Transformers.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("list")(list_.list_)
app.command("info")(info.info)
app.command("status")(status.status)
app.command("track")(track.track)
app.command("retry")(retry.retry)
app.command("cancel")(cancel.cancel)
app.command("logs")(logs.logs)
app.command("report")(report.report)
app.command("plot")(plot.plot)
app.command("analyze")(analyze.analyze)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(leaderboard.app, name="leaderboard")
app.add_typer(data.app, name="data")
app.add_typer(gene.app, name="gene")
app.command("rerun")(rerun.rerun)
app.command("check")(check.check)
app.command("new")(new.new)
app.command("doctor")(doctor.doctor)
app.command("export")(export.export)

STOPPED = 130
"""Exit status after Ctrl-C."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}
"""Errors of a disk that takes nothing more."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"learngene-bench {__version__} (protocol {PROTOCOL})")
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show version and protocol, and exit."
    ),
) -> None:
    """Benchmark of learngene and initialization methods for Vision Transformers."""


def main() -> None:
    """Runs `lgbench`; exit status 0 done, 1 something failed, 2 the user must put something right, 130 Ctrl-C."""
    accept_any_text()
    # A notebook's, inherited: matplotlib would not be imported without that backend. The command only writes files.
    os.environ.pop("MPLBACKEND", None)
    arguments = sys.argv[1:]
    if not _runs_code_of_others(arguments):
        sys.exit(_flushed(run_command(arguments)))
    try:
        status = supervised(lambda: _flushed(run_command(arguments)))
    except Unreported as error:
        status = _fail(f"{error}: code of a plugin ends it (os._exit)", error.status, debug=False)
    sys.exit(status)


def _runs_code_of_others(arguments: list[str]) -> bool:
    """Returns True if plugin files or other installed packages may have a part in a command."""
    return any(argument.startswith("--plugin") for argument in arguments) or bool(arguments and names_of_others())


def run_command(arguments: list[str]) -> int:
    """Runs a command line without its first word; gives its exit status, and prints what went wrong."""
    # Read here too, so that --debug works before and after the verb.
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        returned = typer.main.get_command(app).main(arguments, prog_name="lgbench", standalone_mode=False, obj=debug)
        if returned == STOPPED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        return returned if isinstance(returned, int) else 0
    except UserError as error:
        return _fail(str(error), 2, debug)
    except KeyboardInterrupt:
        return _fail("stopped; run the same command again to continue", STOPPED, debug)
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        if error.errno in FULL and error.filename is None:  # of a file, a line would name it
            return _fail(f"the output cannot be written: {error.strerror}", 2, debug)
        return _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1, debug)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of typer's
            if isinstance(error.__cause__, ValidationError):
                error.message = format_value_error(error.__cause__.errors()[:1])  # type: ignore[attr-defined]
            return _fail(error.format_message().replace("\n", " "), getattr(error, "exit_code", 2), debug)
        return _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1, debug)


def _flushed(status: int) -> int:
    """Returns the exit status once all that was printed is where it was sent to; 2 if that takes nothing more."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = 141
    except OSError as error:
        status = _fail(f"the output cannot be written: {error.strerror}", 2, debug=False)
    else:
        return status
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
    return status


def _fail(message: str, status: int, debug: bool) -> int:
    if debug:
        print(terminal_text(traceback.format_exc()), end="", file=sys.stderr)
    if message:
        print(f"lgbench: {terminal_text(message)}", file=sys.stderr)
    return status
