"""The simulated world and its sensors at the byte level."""

import os

# MuJoCo chooses how it draws when it is imported; without a screen only EGL or OSMesa works.
if not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
    os.environ.setdefault("MUJOCO_GL", "egl")
