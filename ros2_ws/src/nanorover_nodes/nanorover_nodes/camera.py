"""The camera node: pictures of a camera, a file or a folder, with their calibration."""

import threading
import time
from array import array
from dataclasses import replace

from rclpy.duration import Duration
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header

from nanorover.files import expanded
from nanorover.perception.calibration import Calibration, read_calibration
from nanorover.perception.camera import Camera, CameraParams, Image, fitted, same_aspect
from nanorover.perception.images import encode_jpeg
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health
from nanorover_nodes.convert import image_msg
from nanorover_nodes.process import run


class CameraNode(Component):
    """Publishes while active; a camera that is lost is opened again as often as it takes."""

    PARAMS = {"camera": CameraParams}

    def __init__(self) -> None:
        super().__init__("camera")
        self.thread: threading.Thread | None = None

    def configure(self) -> None:
        self.settings: CameraParams = self.params["camera"]
        self.camera = Camera(self.settings, self.get_logger().warning)
        self.calibrated, self.uncalibrated = _info(self.settings), _info(replace(self.settings, calibration=""))
        self.info = self.calibrated
        self.cut_from = ""
        self.last_s = time.monotonic()
        self.fault = ""
        self.image_publisher = self.offer("camera/image_raw")
        self.compressed_publisher = self.offer("camera/image_raw/compressed")
        self.info_publisher = self.offer("camera/camera_info")

    def activate(self) -> None:
        self.stopping = threading.Event()
        self.last_s = time.monotonic()
        self.camera.ended, self.fault = False, ""  # a file begins again
        self.thread = threading.Thread(target=self._work, name="camera", daemon=True)
        self.thread.start()

    def deactivate(self) -> None:
        if self.thread is not None:
            self.stopping.set()
            self.thread.join()
            self.thread = None

    def _work(self) -> None:
        """Read and publish in a thread of its own: a camera may block for seconds."""
        try:
            while not self.stopping.is_set():
                taken = self.camera.picture(self.stopping.wait)
                if taken is None:
                    break
                self.last_s = taken.monotonic_s
                now_s, now = time.monotonic(), self.get_clock().now()
                stamp = now - Duration(seconds=now_s - taken.monotonic_s)
                self.publish(self.fit(taken.image), stamp)
        except Exception as error:
            self.fault = f"{type(error).__name__}: {error}"
            self.get_logger().error(self.fault)
        finally:
            self.camera.close()

    def fit(self, image: Image) -> Image:
        """The picture in the size of the settings; where it has to be cut, no calibration is known to fit."""
        width, height = self.settings.width, self.settings.height
        rows, columns = image.shape[:2]
        self.cut_from = "" if same_aspect(image, width, height) else f"{columns} × {rows}"
        self.info = self.uncalibrated if self.cut_from else self.calibrated
        return fitted(image, width, height)

    def publish(self, image: Image, stamp: Time) -> None:
        """The picture to those who listen, and its calibration."""
        header = Header(frame_id=self.settings.frame_id, stamp=stamp.to_msg())
        if self.image_publisher.get_subscription_count() > 0:
            self.image_publisher.publish(image_msg(header, image))
        if self.compressed_publisher.get_subscription_count() > 0:
            message = CompressedImage(header=header, format="bgr8; jpeg compressed bgr8")
            message.data = array("B", encode_jpeg(image, self.settings.jpeg_quality))
            self.compressed_publisher.publish(message)
        self.info.header = header
        self.info_publisher.publish(self.info)

    def diagnose(self) -> Health:
        camera = self.camera
        values = {
            "source": self.settings.source,
            "pictures": camera.pictures,
            "reconnects": camera.reconnects,
            "calibrated": bool(self.settings.calibration) and not self.cut_from,
            "cut from": self.cut_from or "nothing",
        }
        if self.fault or camera.fault:
            return Health(ERROR, self.fault or camera.fault, values)
        if self.cut_from and self.settings.calibration:
            size = f"{self.settings.width} × {self.settings.height}"
            reason = f"the calibration is of {size}, but the camera gives {self.cut_from}"
            return Health(ERROR, f"{reason}: set width and height to its aspect ratio and calibrate so", values)
        if camera.ended:
            return Health(WARN, f"{self.settings.source} has come to its end", values)
        silent_s = time.monotonic() - self.last_s
        if silent_s > self.settings.stale_after_s:
            return Health(ERROR, f"the camera gives no pictures since {silent_s:.1f} s", values)
        return Health(OK, "taking pictures", values)


def _info(settings: CameraParams) -> CameraInfo:
    """The CameraInfo of the settings; without a calibration K stays zero, which means uncalibrated (REP-104)."""
    info = CameraInfo(width=settings.width, height=settings.height)
    if settings.calibration:
        _fill(info, read_calibration(expanded(settings.calibration)).scaled(settings.width, settings.height))
    return info


def _fill(info: CameraInfo, calibration: Calibration) -> None:
    info.distortion_model = calibration.model
    info.d = calibration.distortion.tolist()
    info.k, info.r, info.p = (m.ravel().tolist() for m in (calibration.K, calibration.R, calibration.P))


def main() -> None:
    """Run the node."""
    run(CameraNode)


if __name__ == "__main__":
    main()
