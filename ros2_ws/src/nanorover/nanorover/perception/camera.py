"""Cameras behind one interface: V4L2, CSI and GStreamer, video files, folders of pictures.

A camera that goes away is opened again and again until it is back; nothing here gives up.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.files import expanded
from nanorover.params import param
from nanorover.perception.images import SUFFIXES, read_image
from nanorover.perception.pace import Pace

Image = NDArray[np.uint8]

# NVIDIA's accelerated source for the ribbon-cable cameras of a Jetson; the newest picture only.
CSI_WIDTH, CSI_HEIGHT = 1280, 720
CSI = (
    "nvarguscamerasrc sensor-id={sensor}"
    f" ! video/x-raw(memory:NVMM),width={CSI_WIDTH},height={CSI_HEIGHT},framerate=30/1,format=NV12"
    " ! nvvidconv ! video/x-raw,width={width},height={height},format=BGRx ! videoconvert ! video/x-raw,format=BGR"
    " ! appsink drop=true max-buffers=1 sync=false"
)
GSTREAMER = "gstreamer:"
READ_TIMEOUT_MS = 3000


@dataclass(frozen=True)
class CameraParams:
    """Where pictures come from and how they are published."""

    source: str = param(
        "a V4L2 device (/dev/video0), csi or csi:1, gstreamer:PIPELINE, a video, a picture, or a folder"
    )
    width: int = param("width of a picture", "px", minimum=16, maximum=4096)
    height: int = param("height of a picture", "px", minimum=16, maximum=4096)
    rate_hz: float = param("pictures per second at most", "Hz", minimum=0.1, maximum=120.0)
    loop: bool = param("begin again at the end of a file or folder")
    frame_id: str = param("frame of the pictures, z forward")
    calibration: str = param("calibration file as ROS's camera_calibration writes it; empty for none")
    jpeg_quality: int = param("quality of compressed pictures", minimum=10, maximum=100)
    reconnect_period_s: float = param(
        "time between attempts to open a lost camera", "s", minimum=0.05, maximum=60.0
    )
    stale_after_s: float = param(
        "without a picture for this long the camera counts as stopped", "s", minimum=0.1, maximum=60.0
    )


class Source(Protocol):
    """Something that gives pictures. A ``live`` one has no end, and brings them in its own time."""

    live: bool

    def grab(self) -> bool:
        """Wait for the next picture; False at the end. Raises InputError when it fails."""
        ...

    def image(self) -> Image:
        """The picture ``(H, W, 3)`` BGR that was grabbed; raises InputError when it cannot be decoded."""
        ...

    def close(self) -> None:
        """Release it."""
        ...


class _Pictures:
    """Picture files, one after another; those that cannot be read are said and skipped."""

    live = False

    def __init__(self, paths: list[Path], say: Callable[[str], None]) -> None:
        self.paths, self.say = paths, say

    def grab(self) -> bool:
        while self.paths:
            try:
                self.read = np.asarray(read_image(self.paths.pop(0)), np.uint8)
            except InputError as error:
                self.say(str(error))
            else:
                return True
        return False

    def image(self) -> Image:
        return self.read

    def close(self) -> None:
        self.paths = []


class _Capture:
    """Whatever OpenCV opens; ``live`` cameras have no end, so a missing picture is a fault."""

    def __init__(self, capture: cv2.VideoCapture, name: str, *, live: bool) -> None:
        if not capture.isOpened():
            capture.release()
            camera, video = (
                "plugged in, and free of other programs",
                "a whole video, and of a codec that OpenCV knows",
            )
            raise InputError(f"cannot open the camera {name}", f"is it {camera if live else video}?")
        self.capture, self.name, self.live = capture, name, live

    def grab(self) -> bool:
        grabbed = self.capture.grab()
        if not grabbed and self.live:
            raise InputError(
                f"the camera {self.name} gives no pictures any more", "its cable or power may be loose"
            )
        return grabbed

    def image(self) -> Image:
        given, frame = self.capture.retrieve()
        if not given or frame is None or not frame.size:
            raise InputError(f"a picture of the camera {self.name} cannot be decoded")
        return np.asarray(frame, np.uint8)

    def close(self) -> None:
        self.capture.release()


def open_source(settings: CameraParams, say: Callable[[str], None]) -> Source:
    """Open the camera of the settings; InputError says what is missing."""
    source = settings.source
    if source == "csi" or source.startswith("csi:"):
        return _pipeline(csi_pipeline(source.partition(":")[2] or "0", settings), source)
    if source.startswith(GSTREAMER):
        return _pipeline(source[len(GSTREAMER) :], source)
    path = existing(source)
    if path.is_dir():
        return _Pictures(_pictures_of(path), say)
    if path.is_char_device():
        return _device(path, settings)
    if path.suffix.lower() in SUFFIXES:
        return _Pictures([path], say)
    return _Capture(cv2.VideoCapture(str(path)), source, live=False)


def _pictures_of(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"the folder {folder} holds no pictures", "read are: " + ", ".join(SUFFIXES))
    return paths


def csi_pipeline(sensor: str, settings: CameraParams) -> str:
    """Scales on the chip to a size of the sensor's own aspect ratio that covers the wanted one."""
    scale = max(settings.width / CSI_WIDTH, settings.height / CSI_HEIGHT)
    width, height = (2 * math.ceil(side * scale / 2 - 1e-9) for side in (CSI_WIDTH, CSI_HEIGHT))
    return CSI.format(sensor=sensor, width=width, height=height)


def existing(source: str) -> Path:
    """The device, file or folder that a source names; InputError where it is not there."""
    if not source:
        raise InputError("no camera is named", "set source to a device, a file or a folder")
    path = expanded(source)
    if not path.exists():
        device = path.is_relative_to("/dev")
        what = "plugged in? `ls /dev/video*` shows the devices" if device else "it names no device, file or folder"
        raise InputError(f"there is no camera {source}", what)
    return path


def is_pipeline(source: str) -> bool:
    """Whether a source names no file but a camera on the ribbon or a GStreamer pipeline."""
    return source == "csi" or source.startswith(("csi:", GSTREAMER))


def _pipeline(pipeline: str, name: str) -> Source:
    if not any("GStreamer" in line and "YES" in line for line in cv2.getBuildInformation().splitlines()):
        raise InputError(
            f"this OpenCV was built without GStreamer, which {name} needs",
            "use the OpenCV of JetPack (apt install python3-opencv), not the one from pip",
        )
    return _Capture(cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER), name, live=True)


def _device(path: Path, settings: CameraParams) -> Source:
    capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    # Motion JPEG is what USB cameras give at full rate; one buffer, so that a picture is never old.
    for setting, value in (
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, settings.width),
        (cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
        (cv2.CAP_PROP_FPS, settings.rate_hz),
        (cv2.CAP_PROP_BUFFERSIZE, 1),
        (cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS),
    ):
        capture.set(setting, value)
    return _Capture(capture, str(path), live=True)


class Taken(NamedTuple):
    """A picture ``(H, W, 3)`` BGR and when it was taken, by ``time.monotonic()``."""

    image: Image
    monotonic_s: float


class Camera:
    """A source that is opened again whenever it fails. Used from one thread; the counters may be read from any."""

    def __init__(self, settings: CameraParams, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.source: Source | None = None
        self.fault = ""
        self.pictures = self.reconnects = 0
        self.ended = False
        self._pace = Pace(settings.rate_hz)
        self._given = False  # a picture since the source was opened
        self._say, self._said = say, set[str]()

    def picture(self, wait: Callable[[float], bool]) -> Taken | None:
        """The next picture at most at the wanted rate; None when ``wait`` was told to stop, or at the end.

        ``wait(seconds)`` sleeps and returns True when the camera shall stop.
        """
        while not self.ended:
            try:
                self.source = self.source or open_source(self.settings, self._say_once)
                # A live camera is read as it comes: a picture that had to wait would be old.
                if wait(0.0 if self.source.live else self._pace.rest_s(time.monotonic())):
                    return None
                taken = self._next(self.source)
            except InputError as error:
                self._failed(error)
                if wait(self.settings.reconnect_period_s):
                    return None
            else:
                if taken is not None:
                    return taken
        return None

    def _next(self, source: Source) -> Taken | None:
        """The next picture; None for one that came too early, and at the end."""
        if not source.grab():
            if not self._given:
                raise InputError(f"{self.settings.source} holds no picture that can be read")
            self.close()
            self.ended = not self.settings.loop
            return None
        now_s = time.monotonic()
        if not source.live:
            self._pace.take(now_s)
        elif not self._pace.admits(now_s):
            return None
        image = source.image()
        self._given = True
        self.pictures += 1
        if self.fault:
            self.reconnects += 1
            self._say(f"the camera {self.settings.source} is back")
            self._said.clear()
        self.fault = ""
        return Taken(image, now_s)

    def _failed(self, error: InputError) -> None:
        self.close()
        self.fault = str(error)
        self._say_once(self.fault)

    def _say_once(self, sentence: str) -> None:
        """Say what stays as it is however often the source is opened again once, until it has recovered."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._say(sentence)

    def close(self) -> None:
        """Release the source."""
        if self.source is not None:
            self.source.close()
            self.source, self._given = None, False


def same_aspect(image: Image, width: int, height: int) -> bool:
    """Whether a picture fills the size without a cut, up to the rounding of a pixel."""
    rows, columns = image.shape[:2]
    return abs(columns * height - rows * width) <= max(columns, rows, width, height)


def fitted(image: Image, width: int, height: int) -> Image:
    """The picture in the size that was asked for, never stretched: what is too wide or too high is cut about the
    middle.
    """
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    if not same_aspect(image, width, height):
        kept_x, kept_y = min(columns, round(rows * width / height)), min(rows, round(columns * height / width))
        left, top = (columns - kept_x) // 2, (rows - kept_y) // 2
        image = image[top : top + max(1, kept_y), left : left + max(1, kept_x)]
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
