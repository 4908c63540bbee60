"""Who may open the page: everybody on this machine, on the network only who has the token."""

import hmac
import ipaddress
import os
import secrets
import socket
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from nanorover.bringup.run_state import RunState
from nanorover.errors import InputError


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_file() -> Path:
    """Where the token of this user lies; it stays the same, so that a bookmark on a phone stays good."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "nanorover" / "view-token"


def network_token(path: Path | None = None) -> str:
    """The token, made on first use, readable by its owner alone. Raises InputError where it cannot be kept."""
    path = path or token_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if token := path.read_text().strip():
            return token
        path.unlink()  # the power went away while it was written
        return network_token(path)
    except OSError as error:
        raise InputError(
            f"cannot keep the view's token in {path}: {error.strerror}", "set XDG_STATE_HOME"
        ) from error
    token = secrets.token_urlsafe(16)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    return token


def page_address(host: str, port: int, token: str) -> str:
    """What a person types into the browser."""
    shown = _own_address() if host in ("0.0.0.0", "::", "") else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def address_of(host: str, port: int) -> str:
    """The address of the page that listens on ``host``, with the token where it takes one."""
    return page_address(host, port, "" if is_loopback(host) else network_token())


def refuse_second_page(other: RunState) -> None:
    """Raise InputError where ``other`` serves the page of this robot already."""
    page = other.read().get("page") if other.running() else None
    if page:
        raise InputError(f"the page of this robot is there already: {address_of(*page)}", "open it in the browser")


def _own_address() -> str:
    """The address by which others on the network reach this machine; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def refusal(path: str, host: str, origin: str | None, token: str) -> str:
    """Why a connection for data and commands is refused; empty if it is not.

    A page of another site must not speak to the robot through a visitor's browser: the origin has to be this
    server. Without a token the name in the request has to be this machine's own, so that a foreign name that is
    made to point here does not pass either.
    """
    if origin is not None and urlsplit(origin).netloc != host:
        return "the request comes from another site"
    if token:
        given = parse_qs(urlsplit(path).query).get("token", [""])[0]
        return "" if hmac.compare_digest(given.encode(), token.encode()) else "the token is missing or wrong"
    name = urlsplit(f"//{host}").hostname or ""
    return "" if is_loopback(name) else "only this machine may open the page"
