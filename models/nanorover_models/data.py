"""Data sets of pictures with boxes: COCO json, Pascal VOC xml, YOLO text."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.perception.images import SUFFIXES, read_image
from nanorover.perception.picture_header import shown_size
from nanorover_models.report import SILENT, Reporter


@dataclass(frozen=True)
class Sample:
    """One picture: its file, (M, 4) boxes xyxy in its pixels, (M,) labels.

    ``ignored`` boxes (K, 4) with their labels (K,) are what nobody is judged by, found or not: COCO's crowds,
    VOC's difficult objects, things of a render that are nearly hidden. ``size_px`` (width, height) is what the
    boxes were drawn in, where that is said.
    """

    path: Path
    boxes_xyxy: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignored_xyxy: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    ignored_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    size_px: tuple[int, int] | None = None

    def image(self) -> NDArray[np.uint8]:
        """The picture, BGR. Raises InputError where it cannot be read, or is not what its boxes were drawn in."""
        image = read_image(self.path)
        height, width = image.shape[:2]
        if self.size_px not in (None, (width, height)):
            raise InputError(
                f"{self.path} is {width} × {height} as it is shown, but its labels say"
                f" {' × '.join(map(str, self.size_px or ()))}",
                "label it as it is shown; where its EXIF should not turn it: exiftool -Orientation= FILE",
            )
        return image

    def marked(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """All boxes (M + K, 4) and labels (M + K,) as training takes them: −1 − class where ignored."""
        boxes = np.concatenate([self.boxes_xyxy, self.ignored_xyxy])
        return boxes, np.concatenate([self.labels, ignored(self.ignored_labels)])


def ignored(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of boxes that are neither right nor wrong to find; those that say so already stay."""
    return np.where(labels >= 0, -1 - labels, labels)


@dataclass(frozen=True)
class DataSet:
    """Pictures and the names of their classes; ``annotations`` is the COCO file if there is one."""

    samples: list[Sample]
    labels: tuple[str, ...]
    annotations: Path | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def named(self, labels: tuple[str, ...]) -> "DataSet":
        """The same pictures with their classes numbered as in ``labels``, among which all of them must be."""
        rows = np.array([labels.index(name) for name in self.labels], np.int64)
        renumbered = [
            replace(s, labels=rows[s.labels], ignored_labels=rows[s.ignored_labels]) for s in self.samples
        ]
        return DataSet(renumbered, labels)

    def digest(self) -> str:
        """The same for the same pictures, by their names and sizes in bytes, with the same boxes, wherever the
        folder lies."""
        found = hashlib.sha256(repr(self.labels).encode())
        for sample in self.samples:
            boxes, labels = sample.marked()
            file = f"{sample.path.name} {sample.path.stat().st_size}"
            found.update(file.encode() + boxes.tobytes() + labels.tobytes())
        return found.hexdigest()

    def split(self, part: float, seed: int) -> tuple["DataSet", "DataSet"]:
        """Two data sets, the second with ``part`` of the pictures, drawn at random.

        Raises InputError when nothing is left for the first.
        """
        order = np.random.default_rng(seed).permutation(len(self.samples))
        cut = len(order) - max(1, round(part * len(order)))
        if cut < 1:
            raise InputError("one picture is too few to train and to validate", "give more, or --validation too")
        halves = [[self.samples[i] for i in sorted(rows)] for rows in (order[:cut], order[cut:])]
        return DataSet(halves[0], self.labels), DataSet(halves[1], self.labels)


def load_data(
    source: Path, images: Path | None = None, option: str = "--images", report: Reporter = SILENT
) -> DataSet:
    """A data set by what lies there: a COCO json, a VOC folder (Annotations), or a YOLO folder (labels).

    ``images`` says where the pictures are when they are not where the format expects them; that is what
    ``option`` gives. Raises InputError that names the file and the entry that is wrong.
    """
    if source.suffix == ".json":
        images = images or source.parent / "images"
        data = load_coco(source, images)
    elif (source / "Annotations").is_dir():
        images = images or source / "JPEGImages"
        data = load_voc(source, images, report)
    elif (source / "labels").is_dir():
        images = images or source / "images"
        data = load_yolo(source, images, report)
    elif (source / "annotations.json").is_file():
        images = images or source / "images"
        data = load_coco(source / "annotations.json", images)
    else:
        raise InputError(
            f"{source} is no data set that is known",
            "a COCO .json, a VOC folder (Annotations/ and JPEGImages/), or a YOLO folder (labels/ and images/)",
        )
    missing = [sample.path for sample in data.samples if not sample.path.is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(data)} pictures are missing, the first is {missing[0]}",
            f"{option} says where",
        )
    if not data.samples or not data.labels:
        raise InputError(f"there are no labelled pictures in {images}", f"{option} says where they are")
    return data


def load_coco(annotations: Path, images: Path) -> DataSet:
    """COCO json. Raises InputError that names the file and the entry that is wrong."""
    document = _json(annotations)
    try:
        categories = sorted(document["categories"], key=lambda c: c["id"])
        index = {c["id"]: i for i, c in enumerate(categories)}
        boxes: dict[int, list[list[float]]] = {i["id"]: [] for i in document["images"]}
        crowds: dict[int, list[list[float]]] = {i["id"]: [] for i in document["images"]}
        for number, a in enumerate(document["annotations"]):
            if a["image_id"] not in boxes or a["category_id"] not in index:
                raise InputError(
                    f"{annotations}: annotation {number} names an image or category that is not there"
                )
            x, y, w, h = a["bbox"]
            rows = crowds if a.get("iscrowd") else boxes
            rows[a["image_id"]].append([x, y, x + w, y + h, index[a["category_id"]]])
        samples = [
            _sample(
                images / i["file_name"], boxes[i["id"]], crowds[i["id"]], _size(i.get("width"), i.get("height"))
            )
            for i in document["images"]
        ]
        labels = tuple(str(c["name"]) for c in categories)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{annotations} is no COCO file: {type(error).__name__} {error}") from error
    _require_pixels(annotations, samples)
    return DataSet(samples, labels, annotations)


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height as labels say them; some leave them out or write 0. Raises ValueError for no numbers."""
    size = int(float(width or 0)), int(float(height or 0))
    return size if min(size) > 0 else None


def _require_pixels(annotations: Path, samples: list[Sample]) -> None:
    """InputError when boxes lie outside their picture, or all in its first pixel."""
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(sample.marked()[0] for sample in samples)])
    counts = [len(sample.labels) + len(sample.ignored_labels) for sample in samples]
    sizes = np.array([sample.size_px or (np.inf, np.inf) for sample in samples]).reshape(-1, 2)
    ends = np.repeat(sizes, counts, axis=0)
    if len(boxes) and boxes.max() <= 1:
        raise InputError(f"{annotations}: all boxes lie between 0 and 1", "boxes are in pixels here")
    outside = ((boxes[:, 2:] <= 0) | (boxes[:, :2] >= ends)).any(1)
    if outside.any():
        names = np.repeat([str(sample.path) for sample in samples], counts)
        raise InputError(
            f"{annotations}: {outside.sum()} of {len(boxes)} boxes lie outside their picture, the first in"
            f" {names[outside][0]}",
            "take them out, or correct the width and height of the pictures",
        )


def load_voc(folder: Path, images: Path, report: Reporter = SILENT) -> DataSet:
    """Pascal VOC: one xml per picture; the classes are those that occur, in alphabetical order.

    Raises InputError that names the xml that is wrong.
    """
    found: list[tuple[Path, list[tuple[list[float], str, bool]], tuple[int, int] | None]] = []
    for path in report.each("reading labels", sorted((folder / "Annotations").glob("*.xml"))):
        try:
            root = ElementTree.parse(path).getroot()
            objects = [
                (
                    [float(o.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")],
                    name,
                    o.findtext("difficult", "0").strip() == "1",
                )
                for o in root.iter("object")
                if (name := o.findtext("name"))
            ]
            size_px = _size(root.findtext("size/width"), root.findtext("size/height"))
        except (ElementTree.ParseError, ValueError) as error:
            raise InputError(f"{path} is no VOC annotation: {error}") from error
        found.append((images / root.findtext("filename", path.stem + ".jpg"), objects, size_px))
    labels = tuple(sorted({name for _, objects, _ in found for _, name, _ in objects}))

    def rows(objects: list[tuple[list[float], str, bool]], difficult: bool) -> list[list[float]]:
        return [[*box, labels.index(name)] for box, name, hard in objects if hard == difficult]

    samples = [_sample(path, rows(objects, False), rows(objects, True), size) for path, objects, size in found]
    _require_pixels(folder, samples)
    return DataSet(samples, labels)


def load_yolo(folder: Path, images: Path, report: Reporter = SILENT) -> DataSet:
    """YOLO text: ``class cx cy w h`` or polygons in parts of the picture.

    Names stand in classes.txt, or in a data.yaml there or in the folder above. Raises InputError that names the
    file and the line that is wrong.
    """
    samples = []
    highest = -1
    paths = sorted(p for p in images.rglob("*") if p.suffix.lower() in SUFFIXES)
    for path in report.each("reading labels", paths):
        text = folder / "labels" / path.relative_to(images).with_suffix(".txt")
        rows: list[list[float]] = []
        size_px = None
        if text.is_file():
            size_px = width, height = _size_of(path)
            lines = [(n, line) for n, line in enumerate(_text(text).splitlines(), 1) if line.strip()]
            rows = [_yolo_row(line, f"{text} line {number}", width, height) for number, line in lines]
        highest = max([highest, *(int(row[4]) for row in rows)])
        samples.append(_sample(path, rows, size_px=size_px))
    labels = _yolo_names(folder, highest + 1)
    if highest >= len(labels):
        raise InputError(f"{folder} names {len(labels)} classes, but class {highest} occurs")
    return DataSet(samples, labels)


def _size_of(path: Path) -> tuple[int, int]:
    """Width and height in pixels as a picture is shown: of a JPEG by its header, as decoding it takes long."""
    header = shown_size(_bytes(path))
    if header is not None:
        return header
    height, width = read_image(path).shape[:2]
    return width, height


def _yolo_row(line: str, where: str, width: int, height: int) -> list[float]:
    """x1, y1, x2, y2, class of a box, or of the box around a polygon."""
    try:
        label, *values = (float(v) for v in line.split())
        if len(values) < 4 or len(values) % 2:
            raise ValueError(f"{len(values)} coordinates")
    except ValueError as error:
        raise InputError(
            f"{where} is neither 'class cx cy w h' nor 'class x1 y1 x2 y2 x3 y3 …': {line!r}"
        ) from error
    if not all(0 <= v <= 1 for v in values) or label < 0 or label % 1 != 0:
        raise InputError(f"{where} is out of range: {line!r}", "coordinates are parts of the picture, 0 to 1")
    if len(values) > 4:
        xs, ys = values[::2], values[1::2]
        return [min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height, label]
    x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2, label]


def _yolo_names(folder: Path, count: int) -> tuple[str, ...]:
    if (folder / "classes.txt").is_file():
        lines = _text(folder / "classes.txt").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    for path in (folder / "data.yaml", folder.absolute().parent / "data.yaml"):
        if path.is_file():
            return _names_in(path)
    return tuple(str(i) for i in range(count))


def _names_in(path: Path) -> tuple[str, ...]:
    """The classes in a YOLO data.yaml: a list of names, or names by number."""
    try:
        document = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise InputError(
            f"{path} does not name the classes", "write names: [cat, dog], or names: {0: cat, 1: dog}"
        )
    return tuple(str(name) for name in names)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")  # Windows begins a text with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: {error}") from error


def _sample(
    path: Path,
    rows: Sequence[Sequence[float]],
    ignored: Sequence[Sequence[float]] = (),
    size_px: tuple[int, int] | None = None,
) -> Sample:
    """A sample of rows x1, y1, x2, y2, label; boxes without area are left out."""
    tables = [np.array(part, np.float32).reshape(-1, 5) for part in (rows, ignored)]
    if not all(np.isfinite(table).all() for table in tables):
        raise InputError(f"{path} has a box that is not finite")
    fair, unfair = (t[(t[:, 2] > t[:, 0]) & (t[:, 3] > t[:, 1])] for t in tables)
    fair_labels, unfair_labels = fair[:, 4].astype(np.int64), unfair[:, 4].astype(np.int64)
    return Sample(path, fair[:, :4], fair_labels, unfair[:, :4], unfair_labels, size_px)


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
