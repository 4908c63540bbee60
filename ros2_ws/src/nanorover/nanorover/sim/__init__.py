"""The simulated world and its sensors at the byte level."""

import os

SCREEN = bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())

# MuJoCo chooses how it draws pictures when it is imported. Its usual way, GLFW, needs a screen and can not be used
# by the camera's thread beside a window.
os.environ.setdefault("MUJOCO_GL", "egl")
