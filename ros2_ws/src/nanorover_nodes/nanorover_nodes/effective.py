"""The effective parameters of nodes, checked before any of them starts.

``python -m nanorover_nodes.effective`` reads one JSON object from stdin, ``{"nodes": {name: overrides},
"params_file": path or null}``, and prints the parameters of every node as one JSON object. A parameter that is
unknown, of a wrong type, out of range or at odds with another node's ends it with a sentence and exit code 2, and
so does one that names what its node cannot use.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from nanorover import params
from nanorover.bringup.agreement import check_agreement
from nanorover.bringup.named import check_named
from nanorover.errors import InputError
from nanorover.extras import lacking
from nanorover.tables import NODES
from nanorover_nodes.component import Component


def component_of(node: str) -> type[Component]:
    """The component class that runs as ``node``. Raises InputError where what it needs is not installed."""
    try:
        module = import_module(NODES[node].module)
    except ModuleNotFoundError as error:
        raise lacking(error) from error
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Component) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise InputError(f"{NODES[node].module} declares {len(classes)} components", "expected is one")
    return classes[0]


def effective(nodes: dict[str, dict[str, Any]], params_file: Path | None) -> dict[str, dict[str, Any]]:
    """Node → all its parameters: the shipped ones, then those of the file, then the overrides.

    A section of the file is a node, a parameter set (such as ``base``), or ``/**`` for every node that knows
    the name. Raises InputError.
    """
    sets_of = {node: component_of(node).PARAMS for node in nodes}
    sections: dict[str, dict[str, Any]] = {}
    everywhere: dict[str, Any] = {}
    if params_file is not None:
        sections = params.read_sections(params_file)
        shipped = {path.stem for path in params.FOLDER.glob("*.yaml")}
        params.refuse_unknown(sections, {params.EVERY_NODE, *NODES, *shipped}, f"{params_file}: unknown section")
        everywhere = params.for_every_node(sections, params_file)
    source = str(params_file or "arguments")
    result = {}
    for node, sets in sets_of.items():
        owners = {name: component for component, cls in sets.items() for name in params.declared(cls)}
        given = {n: v for n, v in everywhere.items() if n in owners}
        for section in (*sets, node):
            params.refuse_unknown(sections.get(section, {}), owners, f"{source}: {section} has no parameter")
            given |= sections.get(section, {})
        params.refuse_unknown(nodes[node], owners, f"node {node} has no parameter")
        given |= nodes[node]
        result[node] = {}
        for component, cls in sets.items():
            values = params.read_yaml(params.FOLDER / f"{component}.yaml", component)
            values |= {n: v for n, v in given.items() if owners[n] == component}
            params.from_mapping(cls, values, f"{source}, node {node}")
            result[node] |= values
    check_agreement(result)
    check_named(result, nodes)
    return result


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    file = request["params_file"]
    try:
        print(json.dumps(effective(request["nodes"], Path(file) if file else None)))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
