"""The drive base: its serial protocol and its odometry."""
