"""One recording through the graph: against its reference, against the truth, with a verdict."""

import hashlib
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan
from nanorover.geometry.se2 import alignment
from nanorover.mapping.grid import OccupancyGrid
from nanorover.replay import truth as truths
from nanorover.replay.compare import CHANGED, FieldDifference, compare
from nanorover.replay.components import ROWS
from nanorover.replay.graph import Column, Row, Run, run
from nanorover.replay.logs import Reading, need, open_log
from nanorover.replay.records import CameraInfo, TrueBoxes, TrueMap, TrueObjects, TruePose
from nanorover.replay.references import load_reference, reference_path, save_reference
from nanorover.replay.truth_objects import detection_figures, track_figures, way_clearance_m

PASSED, DIFFERS, NEW, UPDATED, FAILED = "passed", "changed", "no reference", "reference updated", "failed"


@dataclass(frozen=True)
class Case:
    """What to replay and where its reference lies; it travels to other processes and machines."""

    recording: Path
    references: Path
    update: bool = False
    reading: Reading = field(default_factory=Reading)
    without: tuple[str, ...] = ()  # components that are left out

    def rows(self) -> tuple[Row, ...]:
        """The components to run; raises InputError for a name that is none."""
        names = [row.name for row in ROWS]
        for name in self.without:
            if name not in names or name == "slam":
                optional = ", ".join(n for n in names if n != "slam")
                raise InputError(f"there is no component '{name}' to leave out", f"these can be: {optional}")
        if self.without and self.update:
            raise InputError("a reference is of all components", "leave out --without")
        return tuple(row for row in ROWS if row.name not in self.without)


def check_references(cases: Sequence[Case], *, wanted: bool) -> None:
    """Raise InputError where two cases would share a reference, or a ``wanted`` folder of references is none."""
    folder, update = cases[0].references, cases[0].update
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the references {folder} are no folder", "give the folder in which they lie")
    if wanted and not update and not folder.exists():
        raise InputError(f"the folder of references {folder} does not exist", "--update-references makes it")
    of: dict[Path, Path] = {}
    for case in cases:
        path = reference_path(case.references, case.recording)
        other = of.setdefault(path, case.recording)
        if other != case.recording:
            raise InputError(
                f"{other} and {case.recording} have the same reference {path}",
                "rename one, or replay them apart with --references of their own",
            )


@dataclass
class Result:
    """What came of a case. ``truth`` is empty where the recording knows none."""

    recording: str
    status: str
    message: str = ""
    digest: str = ""
    scans: int = 0
    duration_s: float = 0.0
    cpu_s: float = 0.0
    problems: dict[str, Any] = field(default_factory=dict)
    differences: list[FieldDifference] = field(default_factory=list)
    truth: dict[str, float] = field(default_factory=dict)
    reference: dict[str, Any] = field(default_factory=dict)
    now: dict[str, Column] = field(default_factory=dict)
    then: dict[str, Column] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether nothing has changed and nothing went wrong."""
        return self.status in (PASSED, NEW, UPDATED)

    def as_dict(self) -> dict[str, Any]:
        """For a JSON result: everything but the arrays."""
        return {
            "recording": self.recording,
            "status": self.status,
            "message": self.message,
            "digest": self.digest,
            "scans": self.scans,
            "duration_s": round(self.duration_s, 3),
            "cpu_s": round(self.cpu_s, 3),
            "x_realtime": round(self.duration_s / self.cpu_s, 1) if self.cpu_s else 0.0,
            "truth": self.truth,
            "differences": [asdict(d) for d in self.differences],
            "reference": self.reference,
            "problems": self.problems,
        }


class TruthWatcher:
    """Picks the truth out of the records that pass by."""

    def __init__(self) -> None:
        self._poses: list[TruePose] = []
        self._map: TrueMap | None = None
        self.objects: list[TrueObjects] = []
        self.boxes: list[TrueBoxes] = []
        self.camera: CameraInfo | None = None

    def watch(self, record: Any) -> None:
        """See one record."""
        if isinstance(record, TruePose):
            self._poses.append(record)
        elif isinstance(record, TrueMap):
            self._map = record
        elif isinstance(record, TrueObjects):
            self.objects.append(record)
        elif isinstance(record, TrueBoxes):
            self.boxes.append(record)
        elif isinstance(record, CameraInfo):
            self.camera = record

    def truth(self) -> truths.Truth | None:
        """What was seen; None where the recording knows no truth."""
        return truths.truth_of(self._poses, self._map)


def replay(case: Case) -> Result:
    """Run one case; a recording that cannot be read and a component that breaks are results too.

    So the other cases go on, here and on other machines, and the report says what happened.
    """
    try:
        return _replay(case)
    except InputError as error:
        return Result(str(case.recording), FAILED, str(error))
    except Exception:
        return Result(str(case.recording), FAILED, f"a component broke:\n{traceback.format_exc()}")


def _replay(case: Case) -> Result:
    log = open_log(case.recording, case.reading)
    watcher = TruthWatcher()
    done = run(case.rows(), log, watcher.watch)
    if "slam" not in done.outputs:
        need(log, LaserScan)
        raise InputError(f"no scan came of the lidar's bytes in {case.recording}", "; ".join(log.problems.lines()))
    columns = done.columns()
    result = Result(
        str(case.recording),
        NEW,
        digest=digest(columns),
        scans=len(done.outputs["slam"]["stamp_ns"]),
        duration_s=log.summary.duration_s,
        cpu_s=done.cpu_s,
        problems=log.problems.as_dict() | done.problems.as_dict(),
        truth=judge(done, watcher),
        now=columns,
    )
    _against_reference(case, result)
    return result


def _against_reference(case: Case, result: Result) -> None:
    path = reference_path(case.references, case.recording)
    try:
        reference = load_reference(path)
    except InputError:
        if not case.update:
            raise
        reference = None  # damaged; it is made anew
    if reference is not None and reference.note.get("recording") != case.recording.name:
        raise InputError(
            f"{path} is the reference of {reference.note.get('recording')}, not of {case.recording.name}",
            "rename the recording, or give a folder of its own with --references",
        )
    if reference is not None and not case.update:
        result.then, result.reference = reference.columns, reference.note
        kept = {n: column for n, column in reference.columns.items() if n.split("/")[0] not in case.without}
        result.differences = compare(ROWS, result.now, kept)
        changed = [d for d in result.differences if d.status == CHANGED]
        result.status = DIFFERS if changed else PASSED
        result.message = "; ".join(d.sentence() for d in changed)
    elif case.update:
        note = {
            "recording": case.recording.name,
            "scans": result.scans,
            "digest": result.digest,
            "truth": result.truth,
        }
        save_reference(path, result.now, note)
        result.status, result.message = UPDATED, str(path)


def judge(done: Run, watched: TruthWatcher) -> dict[str, float]:
    """Pose error, map agreement, detections, tracks and clearance, as far as the truth is known."""
    ends, truth = done.ends["slam"], watched.truth()
    if truth is None or not len(ends["stamps_ns"]):
        return {}
    inside, true_poses = truth.at(ends["stamps_ns"])
    if inside.sum() < 2:
        return {}
    estimated = ends["T_map_base"][inside]
    T_true_estimated = alignment(true_poses, estimated)
    figures: dict[str, float | None] = asdict(truths.pose_error(true_poses, estimated, T_true_estimated))
    if truth.map is not None:
        grid = OccupancyGrid(ends["cells"], float(ends["resolution_m"]), ends["T_map_origin"])
        figures |= asdict(truths.map_agreement(grid, truth.map, T_true_estimated))
        figures["clearance_m"] = truths.clearance_m(truth)
        if "planner" in done.outputs:
            ways_m = done.outputs["planner"]["way_m"]
            figures["way_clearance_m"] = way_clearance_m(ways_m, truth.map, T_true_estimated)
        if "fusion" in done.outputs and watched.objects:
            scans_ns = ends["stamps_ns"][inside]
            tracks = track_figures(
                done.outputs["fusion"], scans_ns, true_poses, watched.objects, truth.map, T_true_estimated
            )
            figures |= asdict(tracks) if tracks is not None else {}
    if "detector" in done.outputs and watched.camera is not None:
        found = detection_figures(done.outputs["detector"], watched.boxes, watched.camera)
        figures |= asdict(found) if found is not None else {}
    return {name: round(value, 5) for name, value in figures.items() if value is not None}


def digest(columns: dict[str, Column]) -> str:
    """A short name for exactly these values: equal digests are runs equal to the bit."""
    collected = hashlib.sha256()
    for name, column in sorted(columns.items()):
        collected.update(name.encode())
        collected.update(str(column.dtype).encode())
        collected.update(str(column.shape).encode())
        collected.update(np.ascontiguousarray(column).tobytes())
    return collected.hexdigest()[:16]
