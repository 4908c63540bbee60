"""The reference pages, made from the code while the site is built."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import typer
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from nanorover import params
from nanorover.bringup.arguments import ARGUMENTS
from nanorover.bringup.supervisor import SupervisorParams
from nanorover.cli import with_commands
from nanorover.tables import ACTIONS, GROUPS, MODES, NODES, SERVICES, TOPICS, Qos
from nanorover_nodes.effective import component_of

DOCS = Path(__file__).parent
# Pages that others add belong to the site as soon as they exist.
SECTION_OF_NEW_PAGES = "Use"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add pages that the navigation does not name yet."""
    named = set(_pages(config.nav))
    section = next(item for item in config.nav if isinstance(item, dict) and SECTION_OF_NEW_PAGES in item)
    present = sorted(path.name for path in DOCS.glob("*.md"))
    section[SECTION_OF_NEW_PAGES] += [name for name in present if name not in named]
    return config


def _pages(items: list) -> Iterator[str]:
    for item in items:
        if isinstance(item, str):
            yield item
        else:
            for inner in item.values():
                yield from _pages(inner if isinstance(inner, list) else [inner])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "parameters": parameters_page(),
        "topics": topics_page(),
        "arguments": arguments_page(),
        "commands": commands_page(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def parameter_sets() -> dict[str, type]:
    """Parameter set → the class that declares it, of every node and of the supervisor."""
    sets: dict[str, type] = {"supervisor": SupervisorParams}
    for node in NODES:
        sets.update(component_of(node).PARAMS)
    return dict(sorted(sets.items()))


def parameters_page() -> str:
    """Every parameter with its shipped value, unit, range and meaning."""
    lines = [
        "# Parameters",
        "",
        "Shipped values stand in `nanorover/params/*.yaml`. A `params_file` replaces some of them; its sections "
        "are a set of this page, a node, or `/**` for every node that knows the name. A name that does not exist "
        "and a value out of range are refused at start.",
    ]
    for name, cls in parameter_sets().items():
        users = [node for node in NODES if name in component_of(node).PARAMS] or ["nanorover up"]
        shipped = yaml.safe_load((params.FOLDER / f"{name}.yaml").read_text())[name]["ros__parameters"]
        lines += ["", f"## {name}", "", f"Used by: {', '.join(users)}.", ""]
        lines += ["| parameter | value | unit | allowed | meaning |", "| --- | --- | --- | --- | --- |"]
        for parameter, (_, declared) in params.declared(cls).items():
            value = shipped[parameter]
            shown = f"`{value}`" if value != "" else "empty"
            allowed = declared.allowed() if declared.allowed() != "any value" else ""
            lines.append(_row(f"`{parameter}`", shown, declared.unit, allowed, declared.description))
    return "\n".join(lines) + "\n"


def topics_page() -> str:
    """Every topic, service, action and node of the tables."""
    lines = ["# Topics, services, actions and nodes", "", "## Topics", ""]
    lines += ["| topic | type | offered | taken | Hz | recorded | meaning |", "| --- " * 7 + "|"]
    for topic in TOPICS.values():
        rate = f"{topic.rate_hz:g}" if topic.rate_hz else "on change"
        recorded = "yes" if topic.recorded else ""
        row = (f"`{topic.name}`", f"`{topic.type}`", _qos(topic.publish), _qos(topic.subscribe), rate, recorded)
        lines.append(_row(*row, topic.meaning))
    for title, table in (("Services", SERVICES), ("Actions", ACTIONS)):
        lines += ["", f"## {title}", "", "| name | type | meaning |", "| --- | --- | --- |"]
        lines += [_row(f"`{s.name}`", f"`{s.type}`", s.meaning) for s in table.values()]
    for group, meaning in GROUPS.items():
        lines += ["", f"## {group.capitalize()}", "", f"{meaning[0].upper()}{meaning[1:]}."]
        for node in (n for n in NODES.values() if n.group == group):
            lines += ["", f"### {node.name}", "", f"{node.meaning[0].upper()}{node.meaning[1:]}.", ""]
            lines.append(f"- publishes {_listed(node.publishes)}")
            lines.append(f"- subscribes to {_listed(node.subscribes)}")
            lines += [f"- serves {_listed(node.serves)}"] if node.serves else []
            lines += [f"- acts on {_listed(node.acts)}"] if node.acts else []
            lines.append(f"- parameter sets: {_listed(tuple(component_of(node.name).PARAMS))}")
    return "\n".join(lines) + "\n"


def arguments_page() -> str:
    """The arguments of `nanorover up` and of the launch files."""
    lines = ["# Start arguments", "", "The same for `nanorover up` and `ros2 launch`, written `name:=value`.", ""]
    lines += ["| argument | default | meaning | only in |", "| --- | --- | --- | --- |"]
    for a in ARGUMENTS.values():
        default = f"`{a.default}`" if a.default else "empty"
        lines.append(_row(f"`{a.name}`", default, a.described, ", ".join(a.modes)))
    lines += ["", "## Modes", "", "| mode | parts |", "| --- | --- |"]
    lines += [_row(f"`{mode}`", ", ".join(groups)) for mode, groups in MODES.items()]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """What `nanorover --help` and the help of every command say."""
    lines = ["# Commands", "", "Every command ends with exit code 2 and one sentence where its input is bad.", ""]
    for path, command in _commands("nanorover", typer.main.get_command(with_commands())):
        context = typer.Context(command, info_name=path)
        lines += [f"## {path}", "", inspect.cleandoc(command.help or ""), "", "```text"]
        for parameter in command.params:
            name, meaning = parameter.get_help_record(context) or (parameter.name, getattr(parameter, "help", ""))
            lines.append(f"{name:<38} {meaning or ''}".rstrip())
        lines += ["```", ""]
    return "\n".join(lines) + "\n"


def _commands(path: str, command) -> Iterator[tuple[str, object]]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield path, command
    for name, child in inner.items():
        yield from _commands(f"{path} {name}", child)


def _qos(qos: Qos) -> str:
    words = ["reliable" if qos.reliable else "best effort"]
    if qos.transient_local:
        words.append("latched")
    return f"{', '.join(words)}, {qos.depth}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
