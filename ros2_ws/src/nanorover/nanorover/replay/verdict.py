"""The report over all cases: text for the terminal and the continuous build, HTML with pictures for eyes."""

from pathlib import Path

from nanorover.files import replacing
from nanorover.replay.cases import NEW, Result
from nanorover.replay.compare import EQUAL
from nanorover.replay.pictures import draw_case
from nanorover.report import Figure, write_report

TRUTH_UNITS = {
    "poses": ("true poses", ""),
    "trans_rmse_m": ("position, RMSE", " m"),
    "trans_max_m": ("position, worst", " m"),
    "rot_rmse_deg": ("direction, RMSE", "°"),
    "rot_max_deg": ("direction, worst", "°"),
    "iou_occupied": ("walls, IoU", ""),
    "iou_free": ("free space, IoU", ""),
    "coverage": ("free space seen", ""),
    "clearance_m": ("least clearance", " m"),
    "way_clearance_m": ("least clearance of a plan", " m"),
    "detections_found": ("things detected", ""),
    "detections_right": ("detections that are right", ""),
    "walkers_tracked": ("near walkers tracked", ""),
    "tracks_rmse_m": ("tracks of walkers, RMSE", " m"),
    "tracks_of_nothing": ("tracks of nothing", ""),
}


def text_report(results: list[Result]) -> str:
    """Every case with its fields, the changed ones first."""
    lines = []
    for result in sorted(results, key=lambda r: r.good):
        speed = f"{result.duration_s / result.cpu_s:.0f} × real time" if result.cpu_s else ""
        figures = ", ".join(filter(None, (f"{result.scans} scans", speed, result.digest)))
        lines.append(f"{result.status.upper()}  {result.recording}  ({figures})")
        if result.reference:
            lines.append(f"    reference of commit {result.reference.get('commit', 'unknown')}")
        if result.message and not result.differences:
            lines.append("    " + result.message.replace("\n", "\n    "))
        lines += [f"    {d.sentence()}" for d in result.differences if d.status != EQUAL]
        equal = sum(d.status == EQUAL for d in result.differences)
        if equal:
            lines.append(f"    {equal} of {len(result.differences)} fields equal to the bit")
        lines += [f"    {name}: {value}" for name, value in truth_rows(result).items()]
        lines += [f"    {p['count']} × {kind} (first: {p['first']})" for kind, p in result.problems.items()]
    return "\n".join(lines) + "\n"


def truth_rows(result: Result) -> dict[str, str]:
    """The figures against the truth in words, with what the reference had where that differs."""
    before = result.reference.get("truth") or {}
    rows = {}
    for name, (meaning, unit) in TRUTH_UNITS.items():
        if name in result.truth:
            value, then = result.truth[name], before.get(name)
            was = f"  (was {then:g}{unit})" if then is not None and then != value else ""
            rows[meaning] = f"{value:g}{unit}{was}"
    return rows


def write_verdict(results: list[Result], folder: Path) -> Path:
    """Write ``report.txt``, ``report.html`` and a picture of each case into ``folder``; returns the HTML."""
    with replacing(folder / "report.txt") as temporary:
        temporary.write_text(text_report(results), encoding="utf-8")
    tables: dict[str, dict[str, object]] = {"cases": {}}
    figures: list[Figure] = []
    for number, result in enumerate(results):
        name = f"{number + 1}. {Path(result.recording).name}"
        tables["cases"][name] = result.status
        rows: dict[str, object] = {"recording": result.recording, "scans": result.scans, "digest": result.digest}
        if result.message and not result.differences:
            rows["message"] = result.message
        if result.reference:
            rows["reference of commit"] = result.reference.get("commit", "unknown")
        elif result.status == NEW:
            rows["reference"] = "none yet: --update-references makes it"
        rows |= {d.field: d.sentence().removeprefix(f"{d.field}: ") for d in result.differences}
        rows |= truth_rows(result)
        rows |= {kind: f"{p['count']} × (first: {p['first']})" for kind, p in result.problems.items()}
        tables[name] = rows
        figures += draw_case(name, folder / f"case_{number + 1}", result.now, result.then)
    write_report(folder / "report.html", "Replay", tables, figures)
    return folder / "report.html"
