"""``nanorover bench``: how fast the parts are on this machine. Each part is one module beside this one."""

import json
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from nanorover.files import replacing

AsJson = Annotated[bool, typer.Option("--json", help="print the result as one JSON object")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(name="bench", help="How fast the parts are on this machine.", no_args_is_help=True)

    @group.callback()
    def bench() -> None:
        """How fast the parts are on this machine."""

    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}").register(group)
    app.add_typer(group)


def write_results(stem: Path, page: str, figures: dict[str, Any]) -> None:
    """Write a Markdown page and the figures behind it: ``<stem>.md`` and ``<stem>.json``."""
    with replacing(stem.with_suffix(".md")) as temporary:
        temporary.write_text(page)
    with replacing(stem.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n")
