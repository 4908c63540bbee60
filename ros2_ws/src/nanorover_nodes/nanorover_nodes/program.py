"""Programs that run beside the nodes, or start nodes of their own: their end, and their place."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rclpy.executors import ExternalShutdownException
from rich.console import Console

from nanorover.bringup.run_state import RunState
from nanorover.errors import InputError
from nanorover.view.access import refuse_second_page


@contextmanager
def ending_in_words(console: Console) -> Iterator[None]:
    """Bad input ends the program with a sentence and exit code 2, Ctrl-C and SIGTERM with a word and 130."""
    try:
        yield
    except InputError as error:
        console.print(f"[bold red]error:[/] {error}", soft_wrap=True)
        sys.exit(2)
    except (KeyboardInterrupt, ExternalShutdownException):
        console.print("stopped")
        sys.exit(130)


@contextmanager
def as_the_robot(mode: str, log: Path, page: tuple[str, int] | None = None) -> Iterator[None]:
    """Be the one robot of this ROS domain while nodes of its names are started: two would answer for each other.

    ``page`` is host and port of the page it serves. Raises InputError while another robot runs.
    """
    with RunState("") as state:
        if page:
            refuse_second_page(RunState("", "view"))
        state.write({"pid": os.getpid(), "mode": mode, "log": str(log), "page": page, "nodes": {}})
        yield
