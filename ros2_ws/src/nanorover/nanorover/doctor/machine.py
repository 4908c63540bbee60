"""Checks of the machine: graphics processor, ports, disk, cache, clock, a Jetson's heat and power."""

import importlib.util
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nanorover.base import protocol
from nanorover.base.link import LinkError as BaseLinkError
from nanorover.base.link import SerialLink, explained
from nanorover.base.params import BaseParams
from nanorover.doctor.findings import ERROR, NOTE, WARN, Finding, ok
from nanorover.lidar.port import LinkError, Port
from nanorover.lidar.session import Session
from nanorover.params import load
from nanorover.serial_ports import ports_here

SPARE_BYTES, LAST_BYTES = 2_000_000_000, 200_000_000
HOT_C, TOO_HOT_C = 80.0, 95.0
# A Jetson Nano has no battery for its clock: without a network it wakes up years ago.
PROJECT_BEGAN_S = 1_735_689_600  # 2025-01-01
# Who has this open emulates what is behind a pseudo terminal.
BEHIND_A_TERMINAL = {"/dev/ptmx", "/dev/pts/ptmx"}
JETSON = Path("etc/nv_tegra_release")


@dataclass(frozen=True)
class Machine:
    """Where to look. ``root`` is the file system, ``ports`` node → serial port, ``caches`` purpose → folder.

    ``robot`` are the processes of the robot that runs here, who may have its ports. ``asked`` is False where the
    question is another: about a recording, or about a robot that may run elsewhere.
    """

    ports: dict[str, str]
    root: Path = Path("/")
    caches: dict[str, Path] = field(default_factory=dict)
    base: BaseParams = field(default_factory=lambda: load(BaseParams, "base"))
    robot: frozenset[int] = frozenset()
    asked: bool = True
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    disk: Path = field(default_factory=Path.home)

    @property
    def is_jetson(self) -> bool:
        """Whether this is one of NVIDIA's boards."""
        return (self.root / JETSON).exists()


def graphics(machine: Machine) -> list[Finding]:
    """A graphics processor is there, and what the detector makes of it."""
    devices = [d for d in ("dev/nvidia0", "dev/nvhost-gpu") if (machine.root / d).exists()]
    if not devices:
        return [Finding(NOTE, "no NVIDIA graphics processor: the detector runs on the CPU with ONNX Runtime")]
    if not os.access(machine.root / devices[0], os.R_OK | os.W_OK):
        mend = "add yourself to the group video (sudo usermod -aG video $USER), log in again"
        return [Finding(ERROR, f"no permission for the graphics processor ({devices[0]})", mend)]
    if importlib.util.find_spec("tensorrt") is None:
        mend = "use the board's container (docker/), or apt install python3-libnvinfer"
        return [Finding(WARN, "a graphics processor is there, but the package tensorrt is not", mend)]
    try:
        return ok(f"graphics processor with TensorRT {version('tensorrt')}")
    except PackageNotFoundError:
        return ok("graphics processor with TensorRT")


def serial_ports(machine: Machine) -> list[Finding]:
    """Every serial port exists, may be opened, and nobody else has it."""
    if not machine.ports:
        return [Finding(NOTE, "the robot that runs here has no serial port")]
    found: list[Finding] = []
    for node, name in machine.ports.items():
        path = Path(name)
        if not path.exists():
            if path.name == "ydlidar":
                mend = "plug it in; scripts/udev/70-ydlidar.rules gives it this name (docs/lidar.md)"
            else:
                mend = f"plug it in, or set the parameter 'port' of {node} (docs/hardware.md); {ports_here()}"
            level = ERROR if machine.asked or machine.robot else NOTE
            found.append(Finding(level, f"the port {name} of {node} does not exist", mend))
        elif not os.access(path, os.R_OK | os.W_OK):
            mend = "sudo usermod -aG dialout $USER, log in again"
            found.append(Finding(ERROR, f"no permission to open the port {name} of {node}", mend))
        elif holders := [holder for holder in holders_of(path) if holder[0] not in machine.robot]:
            mend = f"stop it first: {', '.join(f'process {pid} ({command})' for pid, command in holders)}"
            found.append(Finding(WARN, f"the port {name} of {node} is in use by another process", mend))
    if len(set(map(os.path.realpath, machine.ports.values()))) < len(machine.ports):
        mend = "give each its own, by its name in /dev/serial/by-id (docs/hardware.md)"
        found.append(Finding(ERROR, f"{' and '.join(machine.ports)} have the same port", mend))
    return found or ok(f"ports ready: {', '.join(machine.ports.values())}")


def lidar(machine: Machine) -> list[Finding]:
    """The lidar at its port says who it is and that it is well."""
    path = machine.ports.get("lidar", "")
    if not os.access(path, os.R_OK | os.W_OK) or holders_of(Path(path)):
        return [Finding(NOTE, "the lidar was not asked: its port is in use or missing (see ports)")]
    try:
        port = Port(path)
    except LinkError as error:
        return [Finding(ERROR, error.cause, error.mend)]
    try:
        session = Session(port)
        info = session.identify(session.stop())
        health = session.health()
    except LinkError as error:
        mend = error.mend or "power: the G4 draws 550 mA when it starts, more than many ports give; then the cable"
        return [Finding(ERROR, error.cause, mend)]
    finally:
        port.close()
    return ok(f"{info}, {health}")


def base(machine: Machine) -> list[Finding]:
    """The motor controller at its port answers and counts; nothing moves."""
    path, params = machine.ports.get("base", ""), machine.base
    if not os.access(path, os.R_OK | os.W_OK) or holders_of(Path(path)):
        return [Finding(NOTE, "the motor controller was not asked: its port is in use or missing (see ports)")]
    mend = "docs/hardware.md has its wiring, its ports and its firmware"
    try:
        link = SerialLink(path, params.baud, params.answer_timeout_s)
    except BaseLinkError as error:
        return [Finding(ERROR, str(error), mend)]
    try:
        with explained(path, params.baud):
            _await_controller(link, params.boot_timeout_s)
            left, right = protocol.parse_encoders(link.ask(protocol.command(protocol.READ_ENCODERS)))
    except (BaseLinkError, protocol.ProtocolError) as error:
        return [Finding(ERROR, str(error), mend)]
    finally:
        link.close()
    return ok(f"a motor controller, its encoders at {left} and {right}")


def _await_controller(link: SerialLink, boot_timeout_s: float) -> None:
    """Ask until it answers: many restart when their port is opened."""
    deadline_s = time.monotonic() + boot_timeout_s
    while True:
        try:
            protocol.parse_number(link.ask(protocol.command(protocol.BAUD_RATE)))
            return
        except (BaseLinkError, protocol.ProtocolError):
            if time.monotonic() > deadline_s:
                raise


def holders_of(path: Path) -> list[tuple[int, str]]:
    """Processes (id, command) that have a file open, of those that we may look into, but for a port's emulator."""
    real = os.path.realpath(path)
    holders = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            opened = {os.path.realpath(link) for link in (process / "fd").iterdir()}
            if real in opened and opened.isdisjoint(BEHIND_A_TERMINAL):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                holders.append((int(process.name), command[:60].strip()))
        except OSError:
            continue  # another user's process, or one that has just ended
    return holders


def disk(machine: Machine) -> list[Finding]:
    """There is room for logs, maps and recordings."""
    free = shutil.disk_usage(machine.disk).free
    sentence = f"{free / 1e9:.1f} GB free on the disk of {machine.disk}"
    if free < LAST_BYTES:
        return [Finding(ERROR, sentence, "remove old recordings and logs (~/.local/state/nanorover, ~/.ros/log)")]
    if free < SPARE_BYTES:
        return [Finding(WARN, sentence, "a recording with camera takes about 1 GB in half an hour; make room")]
    return ok(sentence)


def caches(machine: Machine) -> list[Finding]:
    """Compiled kernels and engines can be kept; otherwise every start takes minutes."""
    found = []
    for purpose, folder in machine.caches.items():
        existing = next(p for p in (folder, *folder.parents) if p.exists())
        if not os.access(existing, os.W_OK):
            mend = f"sudo chown -R $USER {existing}, or set {'NUMBA_CACHE_DIR' if purpose == 'kernels' else 'it'}"
            found.append(Finding(ERROR, f"the cache of {purpose} cannot be written: {folder}", mend))
    return found or ok("caches can be written")


def clock(machine: Machine, now_s: float | None = None) -> list[Finding]:
    """The clock is not years behind."""
    now_s = time.time() if now_s is None else now_s
    if now_s < PROJECT_BEGAN_S:
        date = time.strftime("%Y-%m-%d", time.gmtime(now_s))
        return [Finding(ERROR, f"the clock says {date}", "connect a network and wait for NTP, or sudo date -s")]
    return ok("the clock is plausible")


def temperature(machine: Machine) -> list[Finding]:
    """The processor is not about to slow down."""
    degrees_c = []
    for zone in (machine.root / "sys/class/thermal").glob("thermal_zone*/temp"):
        try:
            degrees_c.append(int(zone.read_text()) / 1000)
        except (OSError, ValueError):
            continue  # a zone that is switched off gives no number
    if not degrees_c:
        return [Finding(NOTE, "this machine tells no temperature")]
    hottest = max(degrees_c)
    sentence = f"hottest part {hottest:.0f} °C"
    if hottest >= TOO_HOT_C:
        return [Finding(ERROR, sentence, "it slows down now: fan, heat sink, fresh air")]
    return [Finding(WARN, sentence, "a fan keeps it from slowing down")] if hottest >= HOT_C else ok(sentence)


def power_mode(machine: Machine) -> list[Finding]:
    """A Jetson runs in its fullest mode."""
    if not machine.is_jetson:
        return [Finding(NOTE, "not a Jetson: no power mode")]
    path = machine.environment.get("PATH")
    tool = shutil.which("nvpmodel", path=path)
    if tool is None:
        return [Finding(NOTE, "nvpmodel is not in reach (inside a container?): power mode unknown")]
    said = subprocess.run([tool, "-q"], capture_output=True, text=True, check=False, timeout=3.0).stdout
    mode = next((line.split(":")[1].strip() for line in said.splitlines() if "Power Mode" in line), "")
    if mode.startswith("MAXN"):
        return ok(f"power mode {mode}")
    mend = "sudo nvpmodel -m 0 && sudo jetson_clocks (barrel jack 5 V 4 A, not micro USB)"
    return [Finding(WARN, f"power mode {mode or 'unknown'} is not the fullest", mend)]


def discovery(machine: Machine) -> list[Finding]:
    """Nodes here and on other machines can find each other as intended."""
    e, found = machine.environment, []
    domain = e.get("ROS_DOMAIN_ID", "0")
    if not (domain.isdigit() and int(domain) <= 101):
        found.append(Finding(ERROR, f"ROS_DOMAIN_ID is '{domain}'", "use a number from 0 to 101"))
    profile = e.get("FASTRTPS_DEFAULT_PROFILES_FILE")
    if profile and not Path(profile).exists():
        found.append(Finding(ERROR, f"FASTRTPS_DEFAULT_PROFILES_FILE names no file: {profile}", "unset it"))
    reach = e.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper()
    if e.get("ROS_LOCALHOST_ONLY") == "1" and reach == "SUBNET":
        mend = "unset ROS_LOCALHOST_ONLY: it wins over ROS_AUTOMATIC_DISCOVERY_RANGE"
        found.append(Finding(WARN, "discovery is set to this machine and to the subnet at once", mend))
    shared = machine.root / "dev/shm"
    if not os.access(shared, os.W_OK):
        mend = "start the container with ipc: host (docker/compose.common.yaml)"
        found.append(Finding(ERROR, f"no shared memory at {shared}: pictures will be lost", mend))
    return found or ok(f"domain {domain}, reach {reach.lower() or 'as ROS has it'}")
