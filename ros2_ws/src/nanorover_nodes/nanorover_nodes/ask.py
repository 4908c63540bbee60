"""Asks a service of the robot: ``python -m nanorover_nodes.ask SERVICE FIELDS_AS_JSON NAMESPACE [SECONDS]``.

Prints the sentence of the answer; one that is not of success goes to stderr and ends with exit code 2. With
SECONDS the service may be absent: where nobody serves it within so long, nothing is asked.
"""

import json
import sys

import rclpy
from rclpy.node import Node

from nanorover.errors import InputError
from nanorover.tables import SERVICES
from nanorover_nodes.convert import message_class
from nanorover_nodes.lifecycle import call, wait_until

TIMEOUT_S = 15.0


def main() -> None:
    """Ask, and say what was answered."""
    name, fields, namespace, *patience = sys.argv[1:]
    kind = message_class(SERVICES[name].type)
    rclpy.init()
    node = Node("ask", namespace=namespace or None)
    try:
        if patience and not wait_until(node, lambda: _is_served(node, name), float(patience[0])):
            return
        answer = call(node, kind, name, kind.Request(**json.loads(fields)), TIMEOUT_S)
    except InputError as error:
        sys.exit(_refused(str(error)))
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    if not answer.success:
        sys.exit(_refused(answer.message))
    print(answer.message)


def _is_served(node: Node, name: str) -> bool:
    served = node.get_service_names_and_types()
    return node.resolve_service_name(name) in dict(served)


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
