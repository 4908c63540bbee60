"""``nanorover bench``: how fast the parts are on this machine. Each part is one module beside this one."""

import pkgutil
from importlib import import_module

import typer


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(name="bench", help="How fast the parts are on this machine.", no_args_is_help=True)

    @group.callback()
    def bench() -> None:
        """How fast the parts are on this machine."""

    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}").register(group)
    app.add_typer(group)
