"""Scans for the SLAM node, one at a time, each answered before the next."""

import time

import numpy as np
from tf2_msgs.msg import TFMessage

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover_nodes.convert import odometry_msg, scan_msg, transform_msg

RESEND_S = 2.0


class Feed:
    """Publishes scans and odometry into the graph and collects the poses that come back."""

    def __init__(self, graph) -> None:
        self.graph = graph
        self.poses = graph.collect("pose")
        self.scans, self.odometry = graph.offer("scan"), graph.offer("odom")
        self.mountings = graph.offer("/tf_static")
        graph.wait_until(lambda: self.scans.get_subscription_count() > 0, "slam subscribes to scan")
        graph.wait_until(lambda: self.mountings.get_subscription_count() > 0, "slam subscribes to /tf_static")

    def mount(self, T_base_laser: np.ndarray) -> None:
        self.mountings.publish(TFMessage(transforms=[transform_msg(0, "base_link", "laser", T_base_laser)]))

    def send(self, scan: LaserScan, T_odom_base: np.ndarray | None = None) -> None:
        """Send a scan, after the odometry of its time, and wait for its pose."""
        if T_odom_base is not None:
            self.odometry.publish(odometry_msg(Odometry(scan.stamp_ns, T_odom_base), "odom", "base_link"))
        before = len(self.poses)
        sent_s = -RESEND_S

        def answered() -> bool:
            nonlocal sent_s
            # A listener that is just being discovered misses what is sent meanwhile: the first scan is repeated.
            if sent_s < 0 or (not self.poses and time.monotonic() - sent_s > RESEND_S):
                sent_s = time.monotonic()
                self.scans.publish(scan_msg(scan))
            return len(self.poses) > before

        self.graph.wait_until(answered, f"a pose for the scan at {scan.stamp_ns}")
