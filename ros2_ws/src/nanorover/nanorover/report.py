"""One self-contained HTML page: a title, tables and pictures."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nanorover.files import replacing

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
main { display: flex; flex-wrap: wrap; gap: 0 2.5rem; } h2 { font-size: 1.1rem; margin: 1rem 0 0; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }
td + td { font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; } img { max-width: 100%; border: 1px solid #8884; }
"""


@dataclass(frozen=True)
class Figure:
    """A picture file (PNG) with what it shows."""

    caption: str
    path: Path


def write_report(
    path: Path, title: str, tables: Mapping[str, Mapping[str, object]], figures: Sequence[Figure]
) -> None:
    """Write the page; pictures are embedded, so that the file can be sent as it is.

    ``tables`` maps a heading to its rows (name → value).
    """
    parts = [f"<h1>{html.escape(title)}</h1><main>"]
    for heading, rows in tables.items():
        cells = "".join(
            f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value))}</td></tr>"
            for name, value in rows.items()
        )
        parts.append(f"<section><h2>{html.escape(heading)}</h2><table>{cells}</table></section>")
    parts.append("</main>")
    for figure in figures:
        data = base64.b64encode(figure.path.read_bytes()).decode()
        caption = html.escape(figure.caption)
        picture = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        parts.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>{''.join(parts)}</html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
