"""What the calibrations read: recordings, pictures, and the mountings that are believed so far."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from nanorover import params
from nanorover.base.params import BaseParams
from nanorover.bringup.robot_model import FramesParams, fixed_frames, robot_urdf
from nanorover.calibration.board import Board
from nanorover.calibration.extrinsics import View
from nanorover.errors import InputError
from nanorover.geometry.frames import FrameTree, Transform, planar_pose
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import Pose
from nanorover.replay.logs import need, open_log
from nanorover.replay.records import CameraInfo, Picture, Problems

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
# Scan and picture belong together when they are not further apart; the board is held still.
TOGETHER_NS = 150_000_000


def scans_and_odometry(recording: Path) -> tuple[list[LaserScan], list[Odometry], Problems]:
    """All scans and odometry of a recording, and what was wrong in it. Raises InputError where one is missing."""
    log = open_log(recording)
    scans: list[LaserScan] = []
    odometry: list[Odometry] = []
    for record in log:
        if isinstance(record, LaserScan):
            scans.append(record)
        elif isinstance(record, Odometry):
            odometry.append(record)
    need(log, LaserScan, Odometry)
    return scans, odometry, log.problems


def pictures_of(source: Path) -> Iterator[NDArray[np.uint8]]:
    """Grey pictures of a folder or a recording. Raises InputError where there are none."""
    if source.is_dir() and (
        files := [p for p in sorted(source.iterdir()) if p.suffix.lower() in PICTURE_SUFFIXES]
    ):
        for file in files:
            picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            if picture is None:
                raise InputError(f"{file} is no picture that can be read")
            yield np.asarray(picture, dtype=np.uint8)
        return
    try:
        log = open_log(source)
    except InputError as error:
        hint = f"give a folder of pictures ({', '.join(PICTURE_SUFFIXES)}) or a recording of the camera"
        raise InputError(error.args[0], hint) from error
    for record in log:
        if isinstance(record, Picture):
            yield record.rgb()
    need(log, Picture)


def views_of(recording: Path, board: Board) -> list[View]:
    """Every picture of a recording that shows the board, with the scan taken nearest to it.

    Raises InputError where scans, pictures or the camera's calibration are missing.
    """
    log = open_log(recording)
    scans: list[LaserScan] = []
    pictures: list[Picture] = []
    info: CameraInfo | None = None
    for record in log:
        if isinstance(record, LaserScan):
            scans.append(record)
        elif isinstance(record, Picture):
            pictures.append(record)
        elif isinstance(record, CameraInfo):
            info = record
    need(log, LaserScan, Picture, CameraInfo)
    assert info is not None
    stamps = np.array([scan.stamp_ns for scan in scans])
    views = []
    for picture in pictures:
        nearest = int(np.abs(stamps - picture.stamp_ns).argmin())
        if abs(int(stamps[nearest]) - picture.stamp_ns) > TOGETHER_NS:
            continue
        corners = board.find(picture.rgb())
        if corners is not None:
            views.append(View(board.place(corners, info.K, info.distortion), scans[nearest]))
    return views


def _frames(params_file: Path | None) -> tuple[FrameTree, FramesParams]:
    frames = params.load(FramesParams, "frames", params_file)
    tree = FrameTree()
    for frame in fixed_frames(robot_urdf(frames, params.load(BaseParams, "base", params_file))):
        tree.set(frame.parent, frame.child, frame.T_parent_child)
    return tree, frames


def believed_laser(params_file: Path | None) -> Pose:
    """``T_base_laser`` as the parameters have it."""
    tree, frames = _frames(params_file)
    T = tree.lookup(frames.base_frame, frames.laser_frame)
    assert T is not None
    return planar_pose(T)[0]


def believed_mounting(params_file: Path | None) -> tuple[Transform, Transform]:
    """``T_camera_laser`` (optical frame) and ``T_base_laser`` as the parameters have them."""
    tree, frames = _frames(params_file)
    T_camera_laser = tree.lookup(frames.camera_optical_frame, frames.laser_frame)
    T_base_laser = tree.lookup(frames.base_frame, frames.laser_frame)
    assert T_camera_laser is not None and T_base_laser is not None
    return T_camera_laser, T_base_laser


def camera_parameters(T_base_optical: Transform) -> dict[str, float]:
    """The camera's mounting as the parameters of the robot model."""
    T_camera_optical = np.eye(4)
    T_camera_optical[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # REP-103
    T_base_camera = T_base_optical @ np.linalg.inv(T_camera_optical)
    roll, pitch, yaw = Rotation.from_matrix(T_base_camera[:3, :3]).as_euler("xyz")
    x, y, z = T_base_camera[:3, 3]
    named = {"x_m": x, "y_m": y, "z_m": z, "roll_rad": roll, "pitch_rad": pitch, "yaw_rad": yaw}
    return {f"camera_{name}": round(float(value), 4) for name, value in named.items()}
