"""Pictures from files, folders, videos and bags, one after another."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.perception.images import SUFFIXES, image_of, read_image

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mjpeg", ".mpg")
BAG_SUFFIXES = (".bag", ".mcap", ".db3")
IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"


@dataclass(frozen=True)
class Picture:
    """One picture: where it comes from, a file name for it, and its BGR pixels or why there are none."""

    source: str
    stem: str
    image_bgr: NDArray[np.uint8] | None
    refused: InputError | None = None


def pictures(sources: Iterable[Path], say: Callable[[str], None]) -> Iterator[Picture]:
    """The pictures of files, folders, videos and bags; no two have the same ``stem``.

    ``say`` is told where a source holds less than it promises, as a bag or video that is damaged. Raises
    InputError when a source cannot be used at all; a single bad picture in it is returned as refused.
    """
    taken: set[str] = set()
    for source in sources:
        for picture in _of(source, say):
            others = (f"{picture.stem}-{number}" for number in count(2))
            stem = next(name for name in chain([picture.stem], others) if name not in taken)
            taken.add(stem)
            yield replace(picture, stem=stem)


def _of(source: Path, say: Callable[[str], None]) -> Iterator[Picture]:
    if not source.exists():
        raise InputError(f"there is no {source}", "name a picture, a folder of pictures, a video or a bag here")
    if source.is_dir():
        yield from _folder(source, say)
    elif source.suffix.lower() in VIDEO_SUFFIXES:
        yield from _video(source, say)
    elif source.suffix in BAG_SUFFIXES:
        yield from _bag(source, say)
    else:
        yield _file(source)


def _folder(folder: Path, say: Callable[[str], None]) -> Iterator[Picture]:
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES + VIDEO_SUFFIXES and p.is_file())
    if any(path.suffix in BAG_SUFFIXES for path in folder.iterdir()):
        if found:
            say(f"{folder} is read as a bag: what lies beside its messages, as {found[0].name}, is not")
        yield from _bag(folder, say)
        return
    if not found:
        raise InputError(
            f"the folder {folder} holds no pictures", "read are: " + ", ".join(SUFFIXES + VIDEO_SUFFIXES)
        )
    for path in found:
        try:
            yield from _of(path, say)
        except InputError as error:  # a video that cannot be opened, among others
            yield Picture(str(path), path.stem, None, error)


def _file(path: Path) -> Picture:
    try:
        return Picture(str(path), path.stem, read_image(path))
    except InputError as error:
        return Picture(str(path), path.stem, None, error)


def _video(path: Path, say: Callable[[str], None]) -> Iterator[Picture]:
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise InputError(f"the video {path} cannot be opened", "is it whole, and does OpenCV know its codec?")
        promised, number = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0
        while True:
            read, frame = capture.read()
            if not read:
                break
            yield Picture(f"{path}#{number}", f"{path.stem}_{number:06d}", np.asarray(frame, np.uint8))
            number += 1
        if number == 0:
            raise InputError(f"the video {path} holds no picture that can be decoded")
        if number < promised:
            say(f"the video {path} gave {number} of the {promised} pictures that it promises: is it cut off?")
    finally:
        capture.release()


def _bag(path: Path, say: Callable[[str], None]) -> Iterator[Picture]:
    from nanorover.replay.records import Problems
    from nanorover.replay.storage import open_storages

    problems = Problems()
    number = 0
    with ExitStack() as stack:
        for storage in open_storages(path, problems, stack):
            for raw in storage.messages():
                if raw.type not in (IMAGE_TYPE, COMPRESSED_TYPE):
                    continue
                name, stem = f"{raw.place}", f"{path.stem}_{number:06d}"
                number += 1
                try:
                    yield Picture(name, stem, image_of(storage.decode(raw), name))
                except InputError as error:
                    yield Picture(name, stem, None, error)
                except ValueError as error:
                    yield Picture(name, stem, None, InputError(f"{name}: message cannot be decoded: {error}"))
    if number == 0:
        reasons = [f"wanted are topics of type {IMAGE_TYPE} or {COMPRESSED_TYPE}", *problems.lines()]
        raise InputError(f"{path} holds no camera pictures", "; ".join(reasons))
    for line in problems.lines():
        say(f"{path}: {line}")
