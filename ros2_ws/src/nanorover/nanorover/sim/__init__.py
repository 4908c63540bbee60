"""The simulated world and its sensors at the byte level."""

import os

SCREEN = bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())

# MuJoCo chooses how it draws when it is imported; without a screen only EGL or OSMesa works.
if not SCREEN:
    os.environ.setdefault("MUJOCO_GL", "egl")
