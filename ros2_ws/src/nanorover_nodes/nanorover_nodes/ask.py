"""Asks one service of the running robot: ``python -m nanorover_nodes.ask SERVICE FIELDS_AS_JSON [NAMESPACE]``.

Prints the sentence of the answer; one that is not of success goes to stderr and ends with exit code 2.
"""

import json
import sys

import rclpy
from rclpy.node import Node

from nanorover.errors import InputError
from nanorover.tables import SERVICES
from nanorover_nodes.convert import message_class
from nanorover_nodes.lifecycle import call

TIMEOUT_S = 15.0


def main() -> None:
    """Ask, and say what was answered."""
    name, fields, namespace = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""
    kind = message_class(SERVICES[name].type)
    rclpy.init()
    node = Node("ask", namespace=namespace or None)
    try:
        answer = call(node, kind, name, kind.Request(**fields), TIMEOUT_S)
    except InputError as error:
        sys.exit(_refused(str(error)))
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    if not answer.success:
        sys.exit(_refused(answer.message))
    print(answer.message)


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
