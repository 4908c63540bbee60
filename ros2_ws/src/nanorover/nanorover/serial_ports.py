"""What the drivers of serial devices say alike: which ports there are, and why one cannot be opened."""

import errno
from pathlib import Path

from serial.tools import list_ports


def ports_here() -> str:
    """The serial ports of this machine in words."""
    ports = [
        f"{p.device} ({p.description})" for p in sorted(list_ports.comports(), key=lambda p: p.device) if p.vid
    ]
    return "serial ports here: " + ", ".join(ports) if ports else "no USB serial port is plugged in here"


def why_not_opened(path: str, error: Exception, device: str, rule: str = "") -> tuple[str, str]:
    """Why the port of a device could not be opened, and the mend; ``rule`` is the udev rule that gives access."""
    code = getattr(error, "errno", None)
    if code == errno.ENOENT or not Path(path).exists():
        return f"there is no port {path}", f"plug the {device} in; {ports_here()}"
    if code in (errno.EACCES, errno.EPERM):
        join = "join the port's group (sudo usermod -aG dialout $USER) and log in again"
        return f"no permission to open {path}", f"install {rule}, or {join}" if rule else join
    if code in (errno.EAGAIN, errno.EBUSY) or "lock" in str(error):
        return f"port {path} is in use by another program", "stop the other driver or terminal first"
    return f"{path} cannot be opened as a serial port: {error}", ports_here()
