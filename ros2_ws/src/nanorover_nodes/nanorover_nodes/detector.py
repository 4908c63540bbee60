"""The detector node: pictures in, detections out, always of the newest picture."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from std_srvs.srv import SetBool
from vision_msgs.msg import BoundingBox2D, Detection2D, Detection2DArray, ObjectHypothesisWithPose

from nanorover.errors import InputError
from nanorover.params import param
from nanorover.perception.detector import Detections, Detector
from nanorover.perception.draw import draw
from nanorover.perception.images import image_of
from nanorover.perception.pace import Pace
from nanorover.perception.params import DetectorParams, limits_of, make_detector
from nanorover_nodes.component import ERROR, OK, WARN, Component, Health
from nanorover_nodes.convert import image_msg
from nanorover_nodes.process import run

RAW, COMPRESSED = "camera/image_raw", "camera/image_raw/compressed"

# Figures on /diagnostics are over this many pictures.
WINDOW = 200


@dataclass(frozen=True)
class DetectorNodeParams:
    """What only the node needs; the detector's own parameters are ``DetectorParams``."""

    use_compressed: bool = param("subscribe to the compressed pictures")
    rate_limit_hz: float = param("pictures per second at most; 0 for no limit", "Hz", minimum=0.0, maximum=120.0)
    enabled: bool = param("detect from the start; ~/enable changes it")
    stale_after_s: float = param("without a picture for this long it warns", "s", minimum=0.1, maximum=60.0)


class Worker:
    """The thread that makes the detector, owns it, and works on the newest picture; older ones are dropped."""

    def __init__(
        self,
        settings: DetectorParams,
        rate_limit_hz: float,
        say: Callable[[str], None],
        work: Callable[[Detector, Any], None],
    ):
        """Start the thread and wait until the model is loaded and warm; InputError when it cannot be."""
        self.settings, self.say, self.work = settings, say, work
        self.changed = threading.Condition()
        self.newest: Any = None
        self.stopping = False
        self.dropped = 0
        self.pace = Pace(rate_limit_hz)
        self.refusal: InputError | None = None
        self.detector: Detector | None = None
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, name="detector", daemon=True)
        self.thread.start()
        self.ready.wait()
        if self.refusal is not None:
            raise self.refusal

    def give(self, message: Any) -> None:
        """Put a message in the place of whatever still waits; one beyond the rate limit is dropped at once."""
        with self.changed:
            if not self.pace.admits(time.monotonic()):
                self.dropped += 1
                return
            self.dropped += self.newest is not None
            self.newest = message
            self.changed.notify()

    def stop(self) -> None:
        """End the thread, which releases the engine."""
        with self.changed:
            self.stopping = True
            self.changed.notify()
        self.thread.join()

    def _run(self) -> None:
        try:
            self.detector = make_detector(self.settings, self.say)
        except InputError as error:
            self.refusal = error
            return
        except Exception as error:  # nobody else hears of what ends a thread
            self.refusal = InputError(f"the detector cannot start: {type(error).__name__}: {error}")
            return
        finally:
            self.ready.set()
        with self.detector.engine:
            while (message := self._next()) is not None:
                self.work(self.detector, message)

    def _next(self) -> Any:
        """Wait for a picture; None at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.stopping or self.newest is not None)
            message, self.newest = self.newest, None
            return None if self.stopping else message


class DetectorNode(Component):
    """Detects while active and enabled."""

    PARAMS = {"detector": DetectorParams, "detector_node": DetectorNodeParams}
    LIVE = ("score_threshold", "iou_threshold", "max_candidates", "max_detections", "classes", "rate_limit_hz")

    def __init__(self) -> None:
        super().__init__("detector")
        self.worker: Worker | None = None

    def configure(self) -> None:
        self.settings: DetectorNodeParams = self.params["detector_node"]
        self.enabled = self.settings.enabled
        self.pictures = self.faults = 0
        self.fault = ""
        self.last_s = time.monotonic()
        self.times_ms: dict[str, deque[float]] = {}
        say = self.get_logger().info
        self.worker = Worker(self.params["detector"], self.settings.rate_limit_hz, say, self.on_picture)
        engine = self.worker.detector.engine  # type: ignore[union-attr]
        self.get_logger().info(f"{self.params['detector'].model}: {engine.title}; {engine.notice}")
        self.detections_publisher = self.offer("detections")
        self.image_publisher = self.offer("detections/image")
        self.listen(COMPRESSED if self.settings.use_compressed else RAW, self.on_message)
        self.serve("detector/enable", self.enable)

    def cleanup(self) -> None:
        if self.worker is not None:
            self.worker.stop()
            self.worker = None

    def on_message(self, message: Any) -> None:
        self.last_s = time.monotonic()
        if self.active and self.enabled and self.worker is not None:
            self.worker.give(message)

    def on_picture(self, detector: Detector, message: Any) -> None:
        """One picture, in the worker's thread. A fault costs this picture and stands in the diagnostics."""
        begin = time.perf_counter()
        try:
            image = image_of(message, "in the message")
            converted = time.perf_counter()
            found = detector(image)
            detected = time.perf_counter()
            self.publish(message, image, found, detector.description.labels)
        except InputError as error:
            self._failed(str(error))
            return
        except Exception as error:
            self._failed(f"{type(error).__name__}: {error}")
            return
        self.fault = ""
        self.pictures += 1
        stages = {"convert": (converted - begin) * 1e3, **found.ms}
        stages["publish"] = (time.perf_counter() - detected) * 1e3
        for stage, ms in stages.items():
            self.times_ms.setdefault(stage, deque(maxlen=WINDOW)).append(ms)

    def _failed(self, reason: str) -> None:
        self.faults += 1
        self.fault = " ".join(reason.split())
        self.get_logger().error(self.fault, throttle_duration_sec=5.0)

    def publish(self, message: Any, image: NDArray[np.uint8], found: Detections, labels: tuple[str, ...]) -> None:
        """Detections with the picture's header, also when there are none; the drawn picture if somebody looks."""
        array = Detection2DArray(header=message.header)
        for box, score, label in zip(found.boxes_xyxy, found.scores, found.classes, strict=True):
            array.detections.append(_detection(message.header, box, float(score), labels[label]))
        self.detections_publisher.publish(array)
        if self.image_publisher.get_subscription_count() > 0:
            self.image_publisher.publish(image_msg(message.header, draw(image, found, labels)))

    def enable(self, request: SetBool.Request) -> str:
        self.enabled = request.data
        return "detecting" if request.data else "paused"

    def change(self, values: dict[str, Any]) -> SetParametersResult:
        assert self.worker is not None
        assert self.worker.detector is not None
        rate_hz = values.pop("rate_limit_hz", None)
        try:
            if values:
                settings = replace(self.params["detector"], **values)
                self.worker.detector.set_limits(limits_of(settings))
                self.params["detector"] = settings
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if rate_hz is not None:
            self.worker.pace.limit(rate_hz)
        return SetParametersResult(successful=True)

    def diagnose(self) -> Health:
        assert self.worker is not None
        assert self.worker.detector is not None
        engine = self.worker.detector.engine
        values: dict[str, Any] = {
            "engine": engine.title,
            "precision": engine.precision,
            "why": engine.notice,
            "model": self.worker.detector.description.name,
            "pictures": self.pictures,
            "dropped": self.worker.dropped,
            "faults": self.faults,
        }
        for stage, times in list(self.times_ms.items()):
            p50, p95 = np.percentile(list(times), [50, 95])
            values |= {f"{stage} p50 ms": float(p50), f"{stage} p95 ms": float(p95)}
        if self.fault:
            return Health(ERROR, self.fault, values)
        if not self.enabled:
            return Health(OK, "paused by ~/enable", values)
        silent_s = time.monotonic() - self.last_s
        if silent_s > self.settings.stale_after_s:
            return Health(WARN, f"no picture for {silent_s:.1f} s", values)
        return Health(OK, "detecting", values)


def _detection(header: Any, box: NDArray[np.float32], score: float, label: str) -> Detection2D:
    x1, y1, x2, y2 = (float(v) for v in box)
    bounds = BoundingBox2D(size_x=x2 - x1, size_y=y2 - y1)
    # vision_msgs moved the centre at Humble.
    centre = bounds.center.position if hasattr(bounds.center, "position") else bounds.center
    centre.x, centre.y = (x1 + x2) / 2, (y1 + y2) / 2
    guess = ObjectHypothesisWithPose()
    guess.hypothesis.class_id, guess.hypothesis.score = label, score
    return Detection2D(header=header, bbox=bounds, results=[guess])


def main() -> None:
    """Run the node."""
    run(DetectorNode)


if __name__ == "__main__":
    main()
