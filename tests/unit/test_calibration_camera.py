"""Lens and camera mounting found from drawn pictures of a board and the lidar points that lie on it."""

import cv2
import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from nanorover.calibration.board import Board
from nanorover.calibration.draw import draw_distances, draw_pixels
from nanorover.calibration.extrinsics import View, calibrate_extrinsics, hits_of
from nanorover.calibration.intrinsics import calibrate_lens
from nanorover.calibration.sources import believed_mounting, camera_parameters, pictures_of
from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan

BOARD = Board(7, 5, 0.04)
SIZE = (480, 360)
K = np.array([[350.0, 0.0, 243.0], [0.0, 352.0, 178.0], [0.0, 0.0, 1.0]])
PX_PER_M = 1500.0
MARGIN_M = 0.06


def board_picture() -> np.ndarray:
    """The board from straight above, with a white margin."""
    across, down = (round((n + 1) * BOARD.square_m * PX_PER_M) for n in (BOARD.columns, BOARD.rows))
    x, y = np.meshgrid(np.arange(across), np.arange(down))
    side = BOARD.square_m * PX_PER_M
    squares = np.where(((x // side).astype(int) + (y // side).astype(int)) % 2 == 0, 20, 235).astype(np.uint8)
    margin = round(MARGIN_M * PX_PER_M)
    return cv2.copyMakeBorder(squares, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=235)


def photograph(T_camera_board: np.ndarray) -> np.ndarray:
    """The board as an ideal camera with K sees it."""
    to_m = np.array([[1 / PX_PER_M, 0, 0], [0, 1 / PX_PER_M, 0], [0, 0, 1.0]])
    to_m[:2, 2] = -BOARD.square_m - MARGIN_M  # the first inner corner is the board's origin
    H = K @ T_camera_board[:3, [0, 1, 3]] @ to_m
    big = cv2.warpPerspective(
        board_picture(), np.diag([2.0, 2.0, 1.0]) @ H, (SIZE[0] * 2, SIZE[1] * 2), borderValue=90
    )
    return np.asarray(cv2.GaussianBlur(cv2.resize(big, SIZE, interpolation=cv2.INTER_AREA), (3, 3), 0.6), np.uint8)


def poses(count: int, seed: int) -> list[np.ndarray]:
    """Boards before the camera, tilted, in different parts of the picture."""
    random = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        T = np.eye(4)
        T[:3, :3] = Rotation.from_rotvec(random.uniform(-0.5, 0.5, 3)).as_matrix()
        middle = np.append(BOARD.outline_m.mean(axis=0), 0.0)
        place = np.array([*(random.uniform(-0.15, 0.15, 2)), random.uniform(0.45, 0.8)])
        T[:3, 3] = place - T[:3, :3] @ middle
        found.append(T)
    return found


def test_the_lens_is_found(tmp_path):
    lens = calibrate_lens([photograph(T) for T in poses(14, seed=2)], BOARD)
    assert lens.size_px == SIZE and len(lens.corners_px) >= 10
    assert lens.rms_px < 0.15
    assert pytest.approx(K, abs=3.0) == lens.K
    assert np.abs(lens.distortion[:2]).max() < 0.1
    lens.write(tmp_path / "camera.yaml", "front")
    written = yaml.safe_load((tmp_path / "camera.yaml").read_text())
    assert (written["image_width"], written["camera_name"]) == (SIZE[0], "front")
    assert np.reshape(written["camera_matrix"]["data"], (3, 3)) == pytest.approx(lens.K, rel=1e-6)
    draw_pixels(tmp_path / "camera.png", lens.residuals_px, lens.corners_px, lens.size_px)
    assert (tmp_path / "camera.png").stat().st_size > 10_000


def test_pictures_without_the_board_or_of_two_sizes_are_refused():
    grey = np.full((SIZE[1], SIZE[0]), 128, np.uint8)
    with pytest.raises(InputError, match="seen in 0 of 3 pictures"):
        calibrate_lens([grey] * 3, BOARD)
    with pytest.raises(InputError, match="picture 2 has 10×10 px"):
        calibrate_lens([grey, grey[:10, :10]], BOARD)
    with pytest.raises(InputError, match="'9by6' is no board"):
        Board.named("9by6", 0.025)
    with pytest.raises(InputError, match="a square of 25"):
        Board.named("9x6", 25)


def scan_of_board(T_laser_board: np.ndarray, random: np.random.Generator) -> LaserScan:
    """The lidar's cut through the board, in front of a wall three metres away."""
    bearings = np.linspace(-np.pi, np.pi, 1440, endpoint=False)
    rays = np.column_stack((np.cos(bearings), np.sin(bearings), np.zeros(len(bearings))))
    normal, origin = T_laser_board[:3, 2], T_laser_board[:3, 3]
    with np.errstate(divide="ignore"):
        distance = (normal @ origin) / (rays @ normal)
    on_board = (rays * distance[:, None] - origin) @ T_laser_board[:3, :2]
    low, high = BOARD.outline_m
    hit = (distance > 0) & (on_board > low).all(axis=1) & (on_board < high).all(axis=1)
    ranges = np.where(hit, distance, 3.0) + random.normal(0, 0.005, len(bearings))
    return LaserScan(0, ranges.astype(np.float32), -np.pi, 2 * np.pi / 1440, 0.1, 16.0)


def test_the_mounting_of_the_camera_is_found(tmp_path):
    random = np.random.default_rng(3)
    believed, T_base_laser = believed_mounting(None)
    error = np.eye(4)
    error[:3, :3] = Rotation.from_rotvec([0.02, 0.07, -0.03]).as_matrix()
    error[:3, 3] = [0.01, 0.0, -0.02]
    true = error @ believed
    views = [View(T, scan_of_board(np.linalg.inv(true) @ T, random)) for T in poses(25, seed=5)]
    found = calibrate_extrinsics(views, BOARD, believed)
    off = found.T_camera_laser @ np.linalg.inv(true)
    before = np.linalg.norm(Rotation.from_matrix(error[:3, :3]).as_rotvec())
    assert np.linalg.norm(Rotation.from_matrix(off[:3, :3]).as_rotvec()) < before / 4
    assert np.sqrt((found.after_m**2).mean()) < 0.007 < np.sqrt((found.before_m**2).mean())
    draw_distances(tmp_path / "extrinsics.png", found.before_m, found.after_m, "test")
    parameters = camera_parameters(T_base_laser @ np.linalg.inv(true))
    again = camera_parameters(T_base_laser @ np.linalg.inv(found.T_camera_laser))
    assert again["camera_yaw_rad"] == pytest.approx(parameters["camera_yaw_rad"], abs=0.02)


def test_views_that_the_lidar_does_not_share_are_refused():
    random = np.random.default_rng(3)
    believed, _ = believed_mounting(None)
    far = np.eye(4)
    far[1, 3] = -2.0  # the board far above the lidar's plane
    views = [View(far @ T, scan_of_board(np.linalg.inv(believed) @ far @ T, random)) for T in poses(6, seed=5)]
    with pytest.raises(InputError, match="hits the board in 0 of 6"):
        calibrate_extrinsics(views, BOARD, believed)


def test_the_parameters_of_the_camera_give_its_frame_back():
    T_camera_laser, T_base_laser = believed_mounting(None)
    from nanorover import params
    from nanorover.bringup.robot_model import FramesParams

    found = camera_parameters(T_base_laser @ np.linalg.inv(T_camera_laser))
    frames = params.load(FramesParams, "frames")
    assert found == pytest.approx({name: getattr(frames, name) for name in found}, abs=1e-4)


def test_hits_are_the_finite_ranges_within_the_limits():
    ranges = np.array([1.0, np.inf, np.nan, -np.inf, 0.01, 20.0, 2.0], np.float32)
    points = hits_of(LaserScan(0, ranges, 0.0, np.pi / 2, 0.1, 16.0))
    assert points == pytest.approx(np.array([[1.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]), abs=1e-6)


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_where_there_are_no_pictures_pictures_are_asked_for(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"{name}.*\n.*give a folder of pictures .*png.* or a recording"):
        next(pictures_of(tmp_path / name))
