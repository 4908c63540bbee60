"""A model card: what a shipped model is, what it was made from, and what was measured, by which command."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from nanorover.files import replacing
from nanorover.machine import processor
from nanorover.perception.description import ModelDescription
from nanorover_models.measure import HEADINGS, Cost

MARKER = "<!-- written by `nanorover model card`; the words above are kept -->"


@dataclass(frozen=True)
class Evidence:
    """How the figures of a card came about."""

    command: str
    data: str
    by_class: dict[str, float]


def table(costs: list[Cost]) -> str:
    """The costs as a Markdown table."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    lines += ["| " + " | ".join(cost.row()) + " |" for cost in costs]
    return "\n".join(lines)


def write_card(path: Path, description: ModelDescription, costs: list[Cost], evidence: Evidence) -> None:
    """Write the measured half of a card; what a person wrote above the marker stays."""
    words = path.read_text().split(MARKER)[0].rstrip() if path.is_file() else f"# {description.name}"
    spec = description.input
    classes = "\n".join(f"| {name} | {ap:.3f} |" for name, ap in evidence.by_class.items())
    text = f"""{words}

{MARKER}

## Figures
Input {spec.width} × {spec.height}, head `{description.head["kind"]}`, {len(description.labels)} classes.

{table(costs)}

CPU ms is the network alone, one thread, median CPU time of 40 runs on {processor()}.
Evaluated on {evidence.data}, {datetime.date.today().isoformat()}, by

```
{evidence.command}
```

| class | AP50 |
|---|---|
{classes}
"""
    with replacing(path) as temporary:
        temporary.write_text(text)
