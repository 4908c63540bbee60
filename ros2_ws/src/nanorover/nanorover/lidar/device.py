"""The driver of a real (or emulated) G4: connects, reads in a thread, mends what fails."""

import logging
import statistics
import threading
import time
from collections.abc import Callable

from nanorover.errors import InputError
from nanorover.lidar.assemble import Revolution
from nanorover.lidar.params import LidarParams
from nanorover.lidar.port import LinkError, Port, UsbIdentity, find_again, identity_of
from nanorover.lidar.protocol import FASTEST_HZ, SLOWEST_HZ, DeviceInfo
from nanorover.lidar.session import Session
from nanorover.lidar.status import Status, Watch
from nanorover.lidar.stream import LidarStream

# The stream is read this often, and right after a revolution should be complete; longer than the usual revolution.
READ_PERIOD_S = 0.12
COMPLETION_MARGIN_S = 0.0003
# Bytes that wait to be read look late. This often the next ones are awaited, so that the stamps see some in time.
PROMPT_PERIOD_S = 0.5
# Without a good packet for this long the lidar is silent; the first may take longer.
SILENCE_S = 0.5
FIRST_PACKET_S = 2.0
SPIN_UP_S = 3.0  # until then a slow motor is no fault
STUCK_SHARE = 0.5  # of the wanted frequency
STUCK_RESTART_S = 3.0  # a motor that stands this long is switched off and on
RETRY_S = 0.2
# The rotation is trimmed when the median over this many revolutions is off by more.
TRIM_REVOLUTIONS = 20
TRIM_TOLERANCE_HZ = 0.08
MOST_TRIMS = 3

log = logging.getLogger(__name__)


class Lidar:
    """A G4 at work; use it as a context manager.

    ``on_revolution`` is called from the reader thread with each whole revolution as soon as it is there, and
    ``on_bytes`` with each piece of the stream and its time of arrival (wall clock, ns). Entering raises
    InputError when there is no G4 at the port; afterwards every fault is mended in the background and
    ``status`` says what is going on. Leaving stops the motor. ``start`` and ``close`` do the same by hand.
    """

    def __init__(
        self,
        params: LidarParams,
        on_revolution: Callable[[Revolution], None],
        on_bytes: Callable[[bytes, int], None] | None = None,
    ) -> None:
        self.params = params
        self._on_revolution = on_revolution
        self._on_bytes = on_bytes
        self._stream = LidarStream(params)
        self._watch = Watch(params, self._stream)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._path = params.port
        self._usb: UsbIdentity | None = None
        self._trim_hz = 0.0
        self._trims = 0
        self._was_silent = False
        self._prompt_s = 0.0  # when bytes are awaited next

    def __enter__(self) -> "Lidar":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Find the lidar and bring it to its settings; its motor idles. Raises InputError."""
        if self._session is not None:
            return
        try:
            self._connect()
        except LinkError as error:
            raise InputError(error.cause, error.mend) from error

    def start(self) -> None:
        """Open it if need be and scan in the background. Raises InputError."""
        if self._thread is not None:
            return
        self.open()
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, name="lidar", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the scan and the motor and close the port; ``start`` may follow."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._close()
        self._watch.stopped()

    @property
    def info(self) -> DeviceInfo | None:
        """What the device said of itself."""
        return self._watch.info

    @property
    def thread_id(self) -> int:
        """Of the reader thread, to measure its cost."""
        assert self._thread is not None and self._thread.ident is not None
        return self._thread.ident

    def status(self) -> Status:
        """How the lidar is, now and over the last seconds."""
        return self._watch.status()

    def _connect(self) -> None:
        """Open the port and bring the lidar to the wanted settings, idle."""
        path = find_again(self._path, self._usb)
        port = Port(path)
        try:
            session = Session(port)
            before = session.stop()
            info = session.identify(before)
            health = session.health()
            if self._was_silent:
                session.heartbeat_off()
            session.settle_modes()
            session.set_rate(self.params.rate_khz)
            self._set_frequency(session)
        except BaseException:
            port.close()
            raise
        self._session, self._path = session, path
        self._usb = identity_of(path) or self._usb
        self._watch.connected(info, health)

    def _set_frequency(self, session: Session) -> None:
        setting_hz = self.params.frequency_hz + self._trim_hz
        session.set_frequency(min(max(setting_hz, SLOWEST_HZ), FASTEST_HZ))

    def _run(self) -> None:
        """The reader thread: scan, and after each fault connect again, until the end."""
        while not self._ended.is_set():
            try:
                if self._session is None:
                    self._connect()
                self._scan()
            except LinkError as error:
                self._fault(str(error))
            except Exception as error:  # a fault of ours must not blind the robot for good
                log.exception("the lidar driver failed")
                self._fault(f"the driver itself failed: {type(error).__name__}: {error}")

    def _fault(self, sentence: str) -> None:
        self._watch.fault(sentence)
        self._close()
        self._ended.wait(RETRY_S)

    def _close(self) -> None:
        """Leave the motor idle, if the lidar still hears us, and close the port."""
        if self._session is None:
            return
        session, self._session = self._session, None
        try:
            session.stop()
        except LinkError as error:
            log.info("not stopped: %s", error)
        session.port.close()

    def _scan(self) -> None:
        """Read the stream until the end or until LinkError."""
        assert self._session is not None
        data = self._session.start_scan()
        self._stream.restart()
        now_s = started_s = packet_s = time.monotonic()
        turning_s = started_s + SPIN_UP_S
        frequencies_hz: list[float] = []
        while not self._ended.is_set():
            packets = self._stream.counts.packets
            revolutions = self._take(data)
            now_s = time.monotonic()
            if self._stream.counts.packets > packets:
                packet_s = now_s
            self._check_alive(now_s - packet_s, packet_s == started_s, bool(data))
            if self._check_motor(now_s - started_s):
                turning_s = max(turning_s, now_s)
            elif now_s - turning_s > STUCK_RESTART_S:
                raise LinkError(self._watch.motor_sentence)
            frequencies_hz += [revolution.frequency_hz for revolution in revolutions]
            if len(frequencies_hz) >= TRIM_REVOLUTIONS:
                if self._off_frequency(statistics.median(frequencies_hz)):
                    return
                frequencies_hz.clear()
            data = self._read()

    def _take(self, data: bytes) -> list[Revolution]:
        """Pass a piece of the stream on."""
        arrival_ns = time.monotonic_ns()
        # The wall clock may jump (a Jetson boots without one); the device is followed on the monotonic one.
        self._stream.offset_ns = time.time_ns() - arrival_ns
        revolutions = self._stream.feed(data, arrival_ns)
        for revolution in revolutions:
            self._on_revolution(revolution)
        if self._on_bytes is not None and data:
            self._on_bytes(data, arrival_ns + self._stream.offset_ns)
        self._watch.read(arrival_ns / 1e9, len(revolutions), sum(len(r.range_m) for r in revolutions))
        return revolutions

    def _read(self) -> bytes:
        """The next piece of the stream: let some gather, but be there when a revolution is complete."""
        assert self._session is not None
        now_s, wait_s = time.monotonic(), READ_PERIOD_S
        completion_ns = self._stream.completion_ns()
        if now_s >= self._prompt_s:
            self._prompt_s, wait_s = now_s + PROMPT_PERIOD_S, 0.0
        elif completion_ns is not None:
            wait_s = min(wait_s, completion_ns / 1e9 - now_s + COMPLETION_MARGIN_S)
        if wait_s > 0:
            self._ended.wait(wait_s)
        return self._session.port.read(READ_PERIOD_S)

    def _check_alive(self, without_packet_s: float, is_first: bool, has_bytes: bool) -> None:
        if without_packet_s < (FIRST_PACKET_S if is_first else SILENCE_S):
            return
        self._was_silent = True
        if has_bytes:
            raise LinkError("what comes from the lidar is all damaged", "check its cable, its supply and its plug")
        raise LinkError("the lidar fell silent", "it restarted, lost its supply or its data line: check the plugs")

    def _check_motor(self, since_start_s: float) -> bool:
        """Whether the motor turns as it should, and say so."""
        motor_hz = self._stream.motor_hz
        slow = motor_hz < STUCK_SHARE * self.params.frequency_hz and (
            since_start_s > SPIN_UP_S or self._stream.settled
        )
        self._watch.motor(motor_hz if slow else None)
        return not slow

    def _off_frequency(self, measured_hz: float) -> bool:
        """Whether the rotation was off and has been set anew, which takes a stop of the scan."""
        off_hz = self.params.frequency_hz - measured_hz
        if abs(off_hz) <= TRIM_TOLERANCE_HZ:
            self._trims = 0
            return False
        if self._trims >= MOST_TRIMS:
            self._watch.off_frequency(measured_hz)
            return False
        self._trims += 1
        self._trim_hz = round(self._trim_hz + off_hz, 1)
        assert self._session is not None
        log.info("rotation measured %.2f Hz, setting changed by %.1f Hz", measured_hz, self._trim_hz)
        self._session.stop()
        self._set_frequency(self._session)
        return True
