"""The web server: one page, one socket per browser; runs in a thread of its own.

To the browser go binary frames ``kind (1 byte), header length (4 bytes, little endian), header (JSON), payload``.
From the browser come JSON objects with a ``type``. A slow browser gets the newest of each kind, never a queue.
"""

import asyncio
import errno
import http
import json
import math
import struct
import threading
from collections.abc import Callable
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from nanorover.errors import InputError
from nanorover.view.access import is_loopback, refusal

PAGE = Path(__file__).with_name("page")
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/map.js": ("map.js", "text/javascript; charset=utf-8"),
    "/drive.js": ("drive.js", "text/javascript; charset=utf-8"),
    "/zones.js": ("zones.js", "text/javascript; charset=utf-8"),
}
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
SOCKET_PATH = "/socket"
# What to do where an address cannot be listened on.
UNSERVED = {
    errno.EADDRINUSE: "another program listens there; choose another port",
    errno.EACCES: "ports below 1024 are root's; choose another",
}
KINDS = {
    "state": 0,
    "map": 1,
    "scan": 2,
    "picture": 3,
    "notice": 4,
    "lines": 5,
    "health": 6,
    "boxes": 7,
    "objects": 8,
    "zones": 9,
}
LARGEST_COMMAND = 4096
# A browser that does not answer is given up after this long; its drive commands lapsed long before.
PING_S, PING_TIMEOUT_S = 2.0, 4.0
CLOSING_S = 1.0


def frame(kind: str, header: dict[str, Any], payload: bytes = b"") -> bytes:
    """One binary frame for the browser."""
    try:
        text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:  # ROS says NaN for what is not measured, JSON has no such number
        text = json.dumps(_without_nan(header), separators=(",", ":")).encode()
    return struct.pack("<BI", KINDS[kind], len(text)) + text + payload


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Client:
    """One connected browser: what it has not been sent yet."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pending: dict[str, bytes] = {}
        self.wake = asyncio.Event()

    def put(self, kind: str, data: bytes) -> None:
        """Replace what of this kind was not sent yet."""
        self.pending[kind] = data
        self.wake.set()


class WebServer:
    """Serves the page and carries frames and commands between browsers and the robot.

    ``on_command(client_number, command)`` and ``on_leave(client_number)`` are called in the server's thread.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        on_command: Callable[[int, dict[str, Any]], str],
        on_leave: Callable[[int], None],
    ) -> None:
        if not token and not is_loopback(host):
            raise InputError(f"the page is open to the network ({host}) without a token", "give it one")
        self.host, self.port, self.token = host, port, token
        self._on_command, self._on_leave = on_command, on_leave
        self._clients: dict[int, Client] = {}
        self._kept: dict[str, bytes] = {}
        self._outgoing: dict[str, tuple[bytes, bool]] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="web", daemon=True)
        self._server: Server | None = None

    @property
    def watched(self) -> bool:
        """Whether a browser is connected: nothing needs encoding otherwise."""
        return bool(self._clients)

    def start(self) -> None:
        """Listen. Raises InputError where the address is taken or not this machine's."""
        self._thread.start()
        try:
            self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except OSError as error:
            self._end_loop()
            raise InputError(
                f"the page cannot be served at {self.host}:{self.port}: {error.strerror}",
                UNSERVED.get(error.errno or 0, "name an address of this machine, or 0.0.0.0 for all it has"),
            ) from error
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    def stop(self) -> None:
        """Close every connection and end the thread."""
        if self._server is not None:
            self._server.close()
            # A browser that fell asleep does not answer; its connection ends with the loop.
            with suppress(futures.TimeoutError):
                asyncio.run_coroutine_threadsafe(self._server.wait_closed(), self._loop).result(CLOSING_S)
            self._server = None
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=2.0)
        self._loop.close()

    def put(self, kind: str, header: dict[str, Any], payload: bytes = b"", *, keep: bool = False) -> None:
        """Have a frame ready for every browser; one that is kept also goes to those that come later."""
        with self._lock:
            self._outgoing[kind] = (frame(kind, header, payload), keep)

    def flush(self) -> None:
        """Send what is ready. Apart from ``put``, because waking the server's thread costs more than a frame."""
        with self._lock:
            outgoing, self._outgoing = self._outgoing, {}
        if outgoing:
            self._loop.call_soon_threadsafe(self._spread, outgoing)

    def _spread(self, outgoing: dict[str, tuple[bytes, bool]]) -> None:
        for kind, (data, keep) in outgoing.items():
            if keep:
                self._kept[kind] = data
            for client in self._clients.values():
                client.put(kind, data)

    # -- in the server's thread -----------------------------------------------------------------------

    async def _listen(self) -> Server:
        return await serve(
            self._converse,
            self.host,
            self.port,
            process_request=self._answer,
            compression=None,  # pictures are compressed already; deflating the rest costs more than it saves
            max_size=LARGEST_COMMAND,
            close_timeout=CLOSING_S / 2,
            ping_interval=PING_S,
            ping_timeout=PING_TIMEOUT_S,
        )

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The page's files; None lets the socket's handshake go on."""
        path = request.path.partition("?")[0]
        if path == SOCKET_PATH:
            reason = refusal(
                request.path, request.headers.get("Host", ""), request.headers.get("Origin"), self.token
            )
            return connection.respond(http.HTTPStatus.FORBIDDEN, reason + "\n") if reason else None
        if path not in FILES:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "there is no such page\n")
        name, content_type = FILES[path]
        body = (PAGE / name).read_bytes()
        headers = {**SECURITY_HEADERS, "Content-Type": content_type, "Content-Length": str(len(body))}
        return Response(http.HTTPStatus.OK, "OK", Headers({**headers, "Connection": "close"}), body)

    async def _converse(self, connection: ServerConnection) -> None:
        self._number += 1
        client = Client(self._number)
        client.pending.update(self._kept)
        client.wake.set()
        self._clients[client.number] = client
        sender = asyncio.create_task(self._feed(connection, client))
        try:
            async for message in connection:
                reply = self._on_command(client.number, _command(message))
                if reply:
                    client.put("notice", frame("notice", {"text": reply}))
        except ConnectionClosed:
            pass  # a browser that goes away is nothing unusual
        finally:
            sender.cancel()
            del self._clients[client.number]
            self._on_leave(client.number)

    async def _feed(self, connection: ServerConnection, client: Client) -> None:
        while True:
            await client.wake.wait()
            client.wake.clear()
            while client.pending:
                kind = next(iter(client.pending))
                await connection.send(client.pending.pop(kind))


def _command(message: str | bytes) -> dict[str, Any]:
    """The command in a message; one that is none has the type ``""``, which nobody obeys."""
    try:
        command = json.loads(message)
    except (UnicodeDecodeError, json.JSONDecodeError):
        return {"type": ""}
    return command if isinstance(command, dict) else {"type": ""}
