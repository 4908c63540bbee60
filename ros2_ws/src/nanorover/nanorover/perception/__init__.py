"""Seeing: pictures in, boxes with names out.

The modules that run on the original Jetson Nano (Python 3.6 in its TensorRT container) are named in
``RUNTIME``; they are written in Python 3.6 syntax on numpy and OpenCV, and a test holds them to it.
"""

RUNTIME = (
    "__init__",
    "arguments",
    "description",
    "detector",
    "images",
    "picture_header",
    "draw",
    "nms",
    "preprocess",
    "decode",
    "priors",
    "serve",
    "engines/__init__",
    "engines/cache",
    "engines/choice",
    "engines/cuda",
    "engines/engine_file",
    "engines/onnx_runtime",
    "engines/remote",
    "engines/tensor_rt",
    "engines/wire",
)
