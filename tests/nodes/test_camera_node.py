"""The camera node as a real process, on a folder of pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.nodes


def write_pictures(folder: Path, height: int = 48) -> None:
    folder.mkdir(exist_ok=True)
    for i in range(4):
        image = np.zeros((height, 64, 3), np.uint8)
        image[:] = (10 + i, 100, 200)  # blue, green, red
        cv2.imwrite(str(folder / f"{i}.png"), image)


def start(graph, source: Path, **more: object) -> None:
    given = {"source": str(source), "width": 32, "height": 24, "rate_hz": 30.0, "reconnect_period_s": 0.2, **more}
    graph.start("camera", *(a for k, v in given.items() for a in ("-p", f"{k}:={v}")))


def test_pictures_info_and_a_camera_that_comes_late(graph, tmp_path: Path) -> None:
    calibration = tmp_path / "c.yaml"
    calibration.write_text(
        yaml.safe_dump(
            {
                "image_width": 64,
                "image_height": 48,
                "camera_matrix": {"rows": 3, "cols": 3, "data": [50, 0, 31.5, 0, 50, 23.5, 0, 0, 1]},
                "distortion_model": "plumb_bob",
                "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, 0, 0, 0, 0]},
                "rectification_matrix": {"rows": 3, "cols": 3, "data": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
                "projection_matrix": {"rows": 3, "cols": 4, "data": [50, 0, 31.5, 0, 0, 50, 23.5, 0, 0, 0, 1, 0]},
            }
        )
    )
    start(graph, tmp_path / "pictures", calibration=calibration)
    images, packed = graph.collect("camera/image_raw"), graph.collect("camera/image_raw/compressed")
    infos, diagnostics = graph.collect("camera/camera_info"), graph.collect("/diagnostics")
    graph.bring_up("camera")

    def health():
        return graph.health_of("camera", diagnostics)

    graph.wait_until(lambda: health() and "there is no camera" in health().message, "the absent camera is said")
    assert health().level == b"\x02"
    assert not images

    write_pictures(tmp_path / "pictures")
    graph.wait_until(lambda: len(images) > 5 and packed and infos, "pictures")
    image = images[-1]
    assert (image.width, image.height, image.encoding, image.step) == (32, 24, "bgr8", 96)
    assert image.header.frame_id == "camera_optical_frame"
    pixels = np.frombuffer(image.data, np.uint8).reshape(24, 32, 3)
    assert pixels[5, 5, 0] in range(10, 14)
    assert pixels[5, 5].tolist()[1:] == [100, 200]
    jpeg = cv2.imdecode(np.frombuffer(packed[-1].data, np.uint8), cv2.IMREAD_COLOR)
    assert jpeg.shape == (24, 32, 3)
    assert np.abs(jpeg[5, 5].astype(int) - [11, 100, 200]).max() < 6
    info = infos[-1]
    assert (info.width, info.height, info.distortion_model) == (32, 24, "plumb_bob")
    assert info.k[0] == 25.0
    assert info.k[2] == 15.5
    graph.wait_until(lambda: any(i.header == image.header for i in infos), "its info has the picture's header")
    graph.wait_until(lambda: health().level == b"\x00", "healthy again")
    assert {v.key: v.value for v in health().values}["reconnects"] == "1"

    # A camera that goes while it is used is said, and comes back.
    (tmp_path / "pictures").rename(tmp_path / "gone")
    graph.wait_until(lambda: "there is no camera" in health().message, "the lost camera is said")
    assert health().level == b"\x02"
    (tmp_path / "gone").rename(tmp_path / "pictures")
    graph.wait_until(lambda: health().level == b"\x00", "healthy once more")
    assert {v.key: v.value for v in health().values}["reconnects"] == "2"
    seen = len(images)
    graph.wait_until(lambda: len(images) > seen, "pictures again")

    # Pictures of another shape are cut, and the calibration is not theirs.
    write_pictures(tmp_path / "pictures", height=36)
    graph.wait_until(lambda: "the camera gives 64 × 36" in health().message, "the misfit is said")
    assert health().level == b"\x02"
    graph.wait_until(lambda: infos[-1].k[0] == 0.0, "uncalibrated")
    assert (images[-1].width, images[-1].height) == (32, 24)


def test_a_calibration_of_another_shape_is_refused(graph, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    start(graph, tmp_path / "pictures", calibration=tmp_path / "absent.yaml")
    diagnostics = graph.collect("/diagnostics")
    assert not graph.change_state("camera", "configure")
    graph.wait_until(
        lambda: (h := graph.health_of("camera", diagnostics)) and "cannot read the calibration" in h.message,
        "the reason on /diagnostics",
    )


def test_a_file_that_ends_says_so(graph, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    start(graph, tmp_path / "pictures", loop="false")
    diagnostics = graph.collect("/diagnostics")
    graph.bring_up("camera")
    graph.wait_until(
        lambda: (h := graph.health_of("camera", diagnostics)) and "has come to its end" in h.message, "its end"
    )
    assert graph.health_of("camera", diagnostics).level == b"\x01"
    assert graph.change_state("camera", "deactivate")
    images = graph.collect("camera/image_raw")
    assert graph.change_state("camera", "activate")
    graph.wait_until(lambda: images, "activated again, it begins again")
