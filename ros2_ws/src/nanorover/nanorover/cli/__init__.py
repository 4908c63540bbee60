"""The command line ``nanorover``.

Each command or command group is one module beside this one, with a function ``register(app)`` that adds it.
"""

import os
import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from nanorover import __version__
from nanorover.errors import InputError
from nanorover.extras import lacking
from nanorover.files import make_folder
from nanorover.programs import INTERRUPTED

# Progress and errors go here, so that stdout carries only results.
console = Console(stderr=True, highlight=False)
FILE_COLUMNS = 160

app = typer.Typer(
    name="nanorover",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def nanorover(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Maps, sees and drives: the tools of the Nanorover robot stack."""


def results() -> Console:
    """Where tables go: standard output, on which a file or pipe must not cut them to 80 columns."""
    in_terminal = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if in_terminal else FILE_COLUMNS)


def say(sentence: str) -> None:
    """Say what goes on; a path or a command in it is not broken."""
    console.print(sentence, soft_wrap=True, markup=False)


def warn(sentence: str) -> None:
    """Say what is odd and goes on."""
    console.print(f"[bold yellow]warning:[/] {escape(sentence)}", soft_wrap=True)


def refuse_unfit_file(option: str, path: Path, suffix: str) -> None:
    """Raise InputError, before any work, for a file of an option that could not be written after it."""
    if path.suffix != suffix or path.is_dir():
        raise InputError(f"{option} {path} is no {suffix} file", f"name it e.g. {path.stem or 'result'}{suffix}")
    make_folder(path.parent)


def say_refused(reason: object) -> None:
    """Say which input is left out, and why."""
    console.print(f"[bold red]refused:[/] {escape(str(reason))}", soft_wrap=True)


def was_given(context: typer.Context, parameter: str) -> bool:
    """Whether a parameter of the command stands on the command line."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def with_commands() -> typer.Typer:
    """The command line with every command added."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}").register(app)
    return app


def main() -> None:
    """Run the command line; an InputError becomes a sentence and its exit code."""
    try:
        with_commands()()
    except InputError as error:
        _refuse(error)
    except ModuleNotFoundError as error:
        _refuse(lacking(error))
    except KeyboardInterrupt:  # before a command hears it
        sys.exit(INTERRUPTED)


def _refuse(error: InputError) -> NoReturn:
    console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
    sys.exit(error.exit_code)
