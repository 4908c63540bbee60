"""A node's process: how it runs, hears a signal, and ends in order."""

import gc
import signal
import socket
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from nanorover_nodes.component import Component

# How long a node that ends waits for its last words to arrive; they are lost with its process otherwise.
LAST_WORD_S = 0.2


def run(make: Callable[[], Component]) -> None:
    """Spin one node in this process until SIGINT or SIGTERM; leaves it shut down in order.

    The single-threaded executor is meant: rclpy's multi-threaded one loses ticks of fast timers.
    """
    leave_quickly()
    # rclpy's own handlers would take the connection away before the node has said its last word, "stand still".
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        node = make()
    except KeyboardInterrupt:
        rclpy.try_shutdown()
    else:
        _spin(node)


def _spin(node: Component) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    _wake_by_signals(executor)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        ignore_signals()
        if node.active:
            node.active = False
            node.deactivate()
            node.wait_until_heard(LAST_WORD_S)
        node.cleanup()
        node.destroy_node()
        rclpy.try_shutdown()


def _wake_by_signals(executor: SingleThreadedExecutor) -> None:
    """Let a signal end the executor's wait: Python's own handlers run only once it has come back."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach())

    def wake() -> None:
        while reading.recv(1):
            executor.wake()

    threading.Thread(target=wake, name="signals", daemon=True).start()


def leave_quickly() -> None:
    """Spare the garbage collector what was imported: it is there for good.

    Otherwise the end of the interpreter takes 0.3 s of a core, and a robot of nine processes has 3 s to be gone.
    """
    gc.freeze()


def ignore_signals() -> None:
    """From here on a second Ctrl-C or SIGTERM does not cut the end short."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.SIG_IGN)
