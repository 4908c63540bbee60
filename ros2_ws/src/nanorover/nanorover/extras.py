"""Packages that only some commands need: how to get one that is not installed."""

from nanorover.errors import InputError

# Package → the file of scripts/requirements that names it.
GROUPS = {
    "mujoco": "sim",
    "onnx": "train",
    "pycocotools": "train",
    "ray": "ray",
    "rerun": "view",
    "torch": "train",
}


def lacking(error: ModuleNotFoundError) -> InputError:
    """The sentence for a failed import. Raises the error itself where the package is no extra."""
    package = (error.name or "").partition(".")[0]
    if package not in GROUPS:
        raise error
    return InputError(f"this needs {package}, which is not installed", f"./scripts/setup {GROUPS[package]}")
