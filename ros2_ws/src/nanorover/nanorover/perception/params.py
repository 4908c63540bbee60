"""Parameters of the detector."""

from dataclasses import dataclass

import cv2

from nanorover.files import expanded
from nanorover.params import param
from nanorover.perception.description import load_model
from nanorover.perception.detector import Detector, Limits
from nanorover.perception.engines.cache import Say
from nanorover.perception.engines.choice import ENGINES, PRECISIONS, make_engine


@dataclass(frozen=True)
class DetectorParams:
    """What is detected, with what, and what passes."""

    model: str = param("name of a shipped model, or path of an .onnx or .yaml file")
    weights: str = param("path of the ONNX file, where it does not lie beside the model's YAML; empty otherwise")
    engine: str = param("what runs the network", choices=ENGINES)
    precision: str = param("what the network computes in; auto takes the fastest it can", choices=PRECISIONS)
    threads: int = param("threads of the CPU engine and of OpenCV", minimum=1, maximum=16)
    engine_cache: str = param("folder of built TensorRT engines")
    engine_socket: str = param("where the engine server listens, for the engine 'remote'")
    engine_workspace_mib: int = param("memory for TensorRT's builder", "MiB", minimum=16, maximum=8192)
    score_threshold: float = param("least score of a detection", minimum=0.01, maximum=0.99)
    iou_threshold: float = param(
        "overlap above which the lesser of two boxes of a class goes", minimum=0.05, maximum=0.95
    )
    max_candidates: int = param("best candidates that enter suppression", minimum=10, maximum=10_000)
    max_detections: int = param("detections per picture at most", minimum=1, maximum=1000)
    classes: str = param("labels that are wanted, separated by commas; empty for all")


def limits_of(settings: DetectorParams) -> Limits:
    """The limits that a running detector takes."""
    return Limits(
        settings.score_threshold,
        settings.iou_threshold,
        settings.max_candidates,
        settings.max_detections,
        tuple(name.strip() for name in settings.classes.split(",") if name.strip()),
    )


def make_detector(settings: DetectorParams, say: Say | None = None) -> Detector:
    """Load the model and its engine, warmed up; InputError says what does not fit.

    OpenCV gets as many threads as the engine, for the whole process: by itself it takes every core, which costs
    time of the others and gains nothing on pictures so small.
    """
    cv2.setNumThreads(settings.threads)
    description = load_model(settings.model, settings.weights or None)
    engine = make_engine(
        description,
        engine=settings.engine,
        precision=settings.precision,
        threads=settings.threads,
        cache_folder=expanded(settings.engine_cache),
        workspace_mib=settings.engine_workspace_mib,
        socket=expanded(settings.engine_socket),
        say=say,
    )
    try:
        return Detector(description, engine, limits_of(settings))
    except BaseException:
        engine.close()
        raise
