"""Cameras that are files and folders, cameras that fail and come back, and calibration files."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from nanorover.errors import InputError
from nanorover.params import load
from nanorover.perception.calibration import read_calibration
from nanorover.perception.camera import Camera, CameraParams, csi_pipeline, fitted, open_source


def settings(source: Path | str, **changes: object) -> CameraParams:
    return load(CameraParams, "camera", source=str(source), rate_hz=100.0, reconnect_period_s=0.05, **changes)


def picture(grey: int) -> np.ndarray:
    return np.full((24, 32, 3), grey, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures whose grey says their order, and a file that is no picture."""
    path = tmp_path / "pictures"
    path.mkdir()
    for i in range(3):
        cv2.imwrite(str(path / f"{i}.png"), picture(10 * i))
    (path / "1b.png").write_bytes(b"no picture")
    return path


def test_a_folder_in_order_with_its_bad_file_said(folder: Path) -> None:
    said: list[str] = []
    camera = Camera(settings(folder, loop=False), said.append)
    seen = []
    while (taken := camera.picture(lambda _s: False)) is not None:
        seen.append(int(taken.image[0, 0, 0]))
    assert seen == [0, 10, 20]
    assert camera.ended
    assert "1b.png" in said[0]


def test_a_loop_begins_again(folder: Path) -> None:
    camera = Camera(settings(folder, loop=True), lambda _: None)
    seen = [int(camera.picture(lambda _s: False).image[0, 0, 0]) for _ in range(5)]
    assert seen == [0, 10, 20, 0, 10]
    assert camera.reconnects == 0


def test_a_video(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
    for grey in (0, 120, 240):
        writer.write(picture(grey))
    writer.release()
    camera = Camera(settings(path, loop=False), lambda _: None)
    seen = []
    while (taken := camera.picture(lambda _s: False)) is not None:
        seen.append(round(float(taken.image.mean())))
    assert seen == pytest.approx([0, 120, 240], abs=3)


def test_a_camera_that_appears_later_is_opened(tmp_path: Path, folder: Path) -> None:
    said: list[str] = []
    later = tmp_path / "later"
    camera = Camera(settings(later), said.append)
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 3:
            folder.rename(later)
        return False

    assert camera.picture(wait) is not None
    assert waits[:3] == [0.05] * 3
    assert camera.reconnects == 1
    assert [s.split("\n")[0] for s in said[:2]] == [
        f"there is no camera {later}",
        f"the camera {later} is back",
    ], "a fault is said once, not at every attempt"
    later.rename(folder)
    assert camera.picture(lambda seconds: seconds == 0.05) is None
    assert said[-1].startswith(f"there is no camera {later}"), "and again when it comes again"


def test_stopping_while_it_waits_ends_at_once(tmp_path: Path) -> None:
    assert Camera(settings(tmp_path / "absent"), lambda _: None).picture(lambda _s: True) is None


def test_the_rate_is_kept(folder: Path) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    camera = Camera(load(CameraParams, "camera", source=str(folder), rate_hz=10.0), lambda _: None)
    for _ in range(3):
        camera.picture(wait)
    # Nothing really waits here, so each picture asks for what is left of its own tenth of a second.
    assert waits == pytest.approx([0.0, 0.1, 0.2], abs=0.05)


class Clockwork:
    """A live camera of 100 pictures a second, which keeps only the newest; a picture says when it was taken."""

    live = True

    def __init__(self) -> None:
        self.begin_s = time.monotonic()
        self.number = -1

    def grab(self) -> bool:
        while int((time.monotonic() - self.begin_s) * 100) <= self.number:
            time.sleep(0.0005)
        self.number = int((time.monotonic() - self.begin_s) * 100)
        return True

    def image(self) -> np.ndarray:
        return np.full((1, 1, 3), self.begin_s + self.number / 100)

    def close(self) -> None:
        pass


def test_a_live_picture_is_handed_over_with_the_time_at_which_it_came() -> None:
    camera = Camera(load(CameraParams, "camera", source="live", rate_hz=50.0), lambda _: None)
    camera.source = Clockwork()
    taken = [camera.picture(lambda seconds: seconds > 0.0) for _ in range(30)]  # never told to wait
    ages_s = [t.monotonic_s - t.image[0, 0, 0] for t in taken]
    assert 0 <= np.median(ages_s) < 0.005  # waiting for the rate would make it 0.02
    assert np.median(np.diff([t.monotonic_s for t in taken])) == pytest.approx(0.02, abs=0.005)


def test_a_folder_that_can_no_longer_be_read_is_said_and_waited_for(folder: Path) -> None:
    said: list[str] = []
    camera = Camera(settings(folder, loop=True), said.append)
    for _ in range(3):
        assert camera.picture(lambda _s: False) is not None
    for path in folder.iterdir():
        path.write_bytes(b"no picture")
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return waits.count(0.05) == 4

    assert camera.picture(wait) is None, "it can be stopped"
    assert "holds no picture that can be read" in camera.fault
    assert len(said) == 5, "each file once, and the fault"
    cv2.imwrite(str(folder / "2.png"), picture(7))
    assert camera.picture(lambda _s: False).image[0, 0, 0] == 7
    assert (camera.fault, camera.reconnects) == ("", 1)
    assert "is back" in said[-1]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/dev/video97", "there is no camera /dev/video97"),
        ("csi", "built without GStreamer"),
        ("gstreamer:videotestsrc ! appsink", "built without GStreamer"),
        ("/dev/null", "(?s)cannot open the camera /dev/null.*is it plugged in"),
        ("", "no camera is named"),
    ],
)
def test_what_cannot_be_opened_is_named(source: str, words: str) -> None:
    if "GStreamer" in words and "GStreamer:                   YES" in cv2.getBuildInformation():
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(InputError, match=words):
        open_source(settings(source), lambda _: None)


def test_an_empty_folder_and_a_text_file_are_no_cameras(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        open_source(settings(tmp_path), lambda _: None)
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(InputError, match="(?s)cannot open the camera.*is it a whole video"):
        open_source(settings(tmp_path / "a.mp4"), lambda _: None)


def test_one_picture_is_read_as_those_of_a_folder(folder: Path) -> None:
    camera = Camera(settings(folder / "1.png", loop=True), lambda _: None)
    seen = [int(camera.picture(lambda _s: False).image[0, 0, 0]) for _ in range(3)]
    assert seen == [10, 10, 10], "of numbered files the others are none of it"
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))[
        1
    ].tobytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    said: list[str] = []
    camera = Camera(settings(folder / "cut.jpg"), said.append)
    assert camera.picture(lambda seconds: seconds == 0.05) is None
    assert "cut.jpg is cut off" in said[0]
    assert "holds no picture that can be read" in camera.fault


def test_fitted_cuts_and_never_stretches() -> None:
    image = picture(7)
    assert fitted(image, 32, 24) is image
    assert fitted(image, 16, 12).shape == (12, 16, 3)
    for shape in ((360, 640), (640, 360)):
        wide = np.zeros((*shape, 3), np.uint8)
        cv2.circle(wide, (shape[1] // 2, shape[0] // 2), 100, (255, 255, 255), -1)
        seen = fitted(wide, 640, 480)[..., 0] > 127
        across, up = seen.any(axis=0), seen.any(axis=1)
        assert across.sum() == pytest.approx(up.sum(), abs=2), "round stays round"
        assert np.flatnonzero(across).mean() == pytest.approx(319.5, abs=2), "the middle stays the middle"
        assert np.flatnonzero(up).mean() == pytest.approx(239.5, abs=2)


@pytest.mark.parametrize(
    ("size", "scaled"), [((640, 480), (854, 480)), ((640, 360), (640, 360)), ((224, 224), (400, 224))]
)
def test_the_ribbon_camera_keeps_its_aspect_ratio(size: tuple[int, int], scaled: tuple[int, int]) -> None:
    pipeline = csi_pipeline("1", settings("csi:1", width=size[0], height=size[1]))
    assert "sensor-id=1" in pipeline
    assert f"video/x-raw,width={scaled[0]},height={scaled[1]},format=BGRx" in pipeline


CALIBRATION = {
    "image_width": 640,
    "image_height": 480,
    "camera_name": "narrow",
    "camera_matrix": {"rows": 3, "cols": 3, "data": [500, 0, 319.5, 0, 510, 239.5, 0, 0, 1]},
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, -0.2, 0, 0, 0]},
    "rectification_matrix": {"rows": 3, "cols": 3, "data": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    "projection_matrix": {"rows": 3, "cols": 4, "data": [480, 0, 319.5, 0, 0, 490, 239.5, 0, 0, 0, 1, 0]},
}


def calibration(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**CALIBRATION, **changes}))
    return path


def test_a_calibration_is_read_and_scaled_about_the_picture_s_corner(tmp_path: Path) -> None:
    read = read_calibration(calibration(tmp_path / "c.yaml"))
    assert read.K[0, 0] == 500
    half = read.scaled(320, 240)
    # The middle of the picture, (319.5, 239.5) in pixel centres, stays the middle: (159.5, 119.5).
    assert half.K[:, 2] == pytest.approx([159.5, 119.5, 1])
    assert (half.K[0, 0], half.K[1, 1], half.P[0, 0]) == (250, 255, 240)
    assert half.distortion.tolist() == read.distortion.tolist()
    with pytest.raises(InputError, match="calibrated at 640 × 480, but gives 320 × 180"):
        read.scaled(320, 180)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_width": "wide"}, "image_width is 'wide'"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [1, 2]}}, "'camera_matrix' is no matrix"),
        ({"camera_matrix": {"rows": 1, "cols": 2, "data": [1, 2]}}, "'camera_matrix' is 1 × 2"),
        ({"projection_matrix": None}, "'projection_matrix' is no matrix"),
        ({"distortion_model": "fish"}, "distortion_model 'fish'"),
        ({"distortion_coefficients": {"rows": 1, "cols": 2, "data": [0, 0]}}, "with 2 coefficients"),
    ],
)
def test_a_wrong_calibration_is_named(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_calibration(calibration(tmp_path / "c.yaml", **changes))


def test_no_calibration_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the calibration"):
        read_calibration(tmp_path / "absent.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="holds no calibration"):
        read_calibration(tmp_path / "list.yaml")
