"""The end of a program that runs beside the nodes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from nanorover.errors import InputError


@contextmanager
def ending_in_words(console: Console) -> Iterator[None]:
    """Bad input ends the program with a sentence and exit code 2, Ctrl-C with a word and 130."""
    try:
        yield
    except InputError as error:
        console.print(f"[bold red]error:[/] {error}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("stopped")
        sys.exit(130)
