"""A described model without a network behind it, for tests of the detector's parts."""

from pathlib import Path
from typing import Any

from nanorover.perception.description import InputSpec, ModelDescription


def described(head: dict[str, Any], labels: int = 3, **input_changes: Any) -> ModelDescription:
    """A model with a head and made-up labels; input 96 × 64, unless changed."""
    spec = InputSpec(96, 64, "bgr", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "stretch", 0.0)._replace(**input_changes)
    names = tuple(f"label{i}" for i in range(labels))
    return ModelDescription("made_up", Path("made_up.yaml"), {}, spec, head, names, "")
