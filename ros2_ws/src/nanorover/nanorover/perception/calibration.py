"""The calibration of a camera, in the file format of ROS's camera_calibration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from nanorover.errors import InputError

# distortion_model → numbers of coefficients (sensor_msgs/CameraInfo).
MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


@dataclass(frozen=True)
class Calibration:
    """Intrinsics K (3, 3), rectification R (3, 3), projection P (3, 4), distortion; for one size in pixels."""

    width: int
    height: int
    model: str
    distortion: NDArray[np.float64]
    K: NDArray[np.float64]
    R: NDArray[np.float64]
    P: NDArray[np.float64]

    def scaled(self, width: int, height: int) -> "Calibration":
        """The calibration of the same pictures in another size.

        Pixel centres are whole numbers, so a coordinate scales about −0.5. Raises InputError when the aspect
        ratio differs: then part of the picture was cut off, and nobody knows which.
        """
        if abs(width * self.height - height * self.width) > max(self.width, self.height, width, height):
            raise InputError(
                f"the camera was calibrated at {self.width} × {self.height}, but gives {width} × {height}",
                "calibrate at the size in use, or at one of the same aspect ratio",
            )
        sx, sy = width / self.width, height / self.height
        move = np.array([[sx, 0.0, 0.5 * sx - 0.5], [0.0, sy, 0.5 * sy - 0.5], [0.0, 0.0, 1.0]])
        return Calibration(width, height, self.model, self.distortion, move @ self.K, self.R, move @ self.P)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file; InputError names the entry that is missing or wrong."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(
            f"cannot read the calibration {path}: {error.strerror}",
            "ros2 run camera_calibration cameracalibrator writes one; leave the parameter empty for none",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no calibration")
    width, height = (_size(document, key, path) for key in ("image_width", "image_height"))
    model = document.get("distortion_model")
    distortion = _matrix(document, "distortion_coefficients", None, path)
    if model not in MODELS or distortion.size not in MODELS[model]:
        raise InputError(
            f"{path}: distortion_model {model!r} with {distortion.size} coefficients is not known",
            "known: " + ", ".join(f"{name} {counts}" for name, counts in MODELS.items()),
        )
    return Calibration(
        width,
        height,
        model,
        distortion.ravel(),
        _matrix(document, "camera_matrix", (3, 3), path),
        _matrix(document, "rectification_matrix", (3, 3), path),
        _matrix(document, "projection_matrix", (3, 4), path),
    )


def _size(document: dict[str, Any], key: str, path: Path) -> int:
    value = document.get(key)
    if not isinstance(value, int) or value <= 0:
        raise InputError(f"{path}: {key} is {value!r}", "it must be a whole number of pixels")
    return value


def _matrix(document: dict[str, Any], key: str, shape: tuple[int, int] | None, path: Path) -> NDArray[np.float64]:
    entry = document.get(key)
    try:
        assert isinstance(entry, dict)
        rows, columns = int(entry["rows"]), int(entry["cols"])
        values = np.array(entry["data"], np.float64).reshape(rows, columns)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: '{key}' is no matrix", "it has rows, cols and data") from error
    if (shape is not None and values.shape != shape) or not np.isfinite(values).all():
        raise InputError(f"{path}: '{key}' is {values.shape[0]} × {values.shape[1]} or not finite")
    return values
