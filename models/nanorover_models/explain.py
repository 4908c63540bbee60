"""What a box rests on: gradients of its score, weighed by what the backbone saw there, as a heat map.

Grad-CAM (Selvaraju et al. 2017), with gradients multiplied place by place instead of averaged over the
picture (HiResCAM, Draelos and Carin 2020): a box has a place, and an average would forget it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nanorover.errors import InputError
from nanorover.perception.detector import Detections, Detector, Limits
from nanorover.perception.draw import draw
from nanorover.perception.images import write_image
from nanorover.perception.pictures import pictures
from nanorover_models.blocks import Network
from nanorover_models.evaluate import torch_detector
from nanorover_models.model import ModelSpec, load

# The heat map covers the picture by at most this much.
OPACITY = 0.55


def heat_map(
    spec: ModelSpec,
    model: Network,
    detector: Detector,
    image_bgr: NDArray[np.uint8],
    row: int,
    found: Detections,
) -> NDArray[np.float32]:
    """(H, W) in 0…1: what the detection ``row`` of a picture rests on."""
    tensor, _ = detector.preprocess(image_bgr)
    kept: list[Tensor] = []
    handles = [layer.register_forward_hook(lambda _m, _i, out: kept.append(out)) for layer in model.seen_layers()]
    try:
        with torch.enable_grad():
            outputs = model(torch.from_numpy(tensor.copy()).requires_grad_(True))
            place = _place(outputs[0][0].detach(), len(spec.labels), found, row)
            column = int(found.classes[row]) + (outputs[0].shape[-1] - len(spec.labels))
            gradients = torch.autograd.grad(outputs[0][0, place, column], kept, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    heat = torch.zeros(1, 1, spec.input_height, spec.input_width)
    for activation, gradient in zip(kept, gradients, strict=True):
        if gradient is not None:
            evidence = F.relu((activation * gradient).sum(1, keepdim=True))
            if evidence.max() > 0:
                heat += F.interpolate(evidence / evidence.max(), heat.shape[2:], mode="bilinear")
    flat = heat[0, 0].detach().numpy()
    flat = flat / max(float(flat.max()), 1e-9)
    return np.asarray(cv2.resize(flat, (image_bgr.shape[1], image_bgr.shape[0])), np.float32)


def _place(logits: Tensor, labels: int, found: Detections, row: int) -> int:
    """The prediction from which a detection came: the one with its score for its label."""
    background = logits.shape[-1] - labels
    scores = logits.softmax(-1)[:, background:] if background else logits.sigmoid()
    return int((scores[:, int(found.classes[row])] - float(found.scores[row])).abs().argmin())


def overlay(image_bgr: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture, greyed where nothing matters and coloured where much does."""
    colour = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey = cv2.cvtColor(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    opacity = (heat * OPACITY + 0.15)[..., None]
    return np.asarray(grey * (1 - opacity) + colour * opacity, np.uint8)


def explained(
    spec: ModelSpec, model: Network, image_bgr: NDArray[np.uint8], limits: Limits, most: int = 8
) -> NDArray[np.uint8]:
    """The picture with its boxes, then one panel per detection with what it rests on.

    Raises InputError when nothing is found.
    """
    detector = torch_detector(spec, model, limits)
    found = detector(image_bgr)
    if len(found.scores) == 0:
        raise InputError("nothing was found, so there is nothing to explain", "lower --score")
    panels = [draw(image_bgr, found, spec.labels)]
    for row in range(min(most, len(found.scores))):
        heat = heat_map(spec, model, detector, image_bgr, row, found)
        only = slice(row, row + 1)
        one = Detections(found.boxes_xyxy[only], found.scores[only], found.classes[only], found.ms)
        panels.append(draw(overlay(image_bgr, heat), one, spec.labels))
    columns = min(3, len(panels))
    while len(panels) % columns:
        panels.append(np.zeros_like(panels[0]))
    rows = [np.concatenate(panels[i : i + columns], 1) for i in range(0, len(panels), columns)]
    return np.concatenate(rows, 0)


def explain(
    checkpoint: Path, sources: list[Path], out: Path, limits: Limits, say: Callable[[str], None]
) -> Iterator[Path]:
    """Write an explanation as PNG for each picture of the sources in which something is found; yield its path.

    A picture that cannot be read is said and skipped; InputError at the end where there was one, or none at all
    was explained.
    """
    spec, network = load(checkpoint)
    torch_detector(spec, network, limits)  # refuses a class that the model does not know, once for all pictures
    written = refused = 0
    for picture in pictures(sources, say):
        if picture.image_bgr is None:
            refused += 1
            say(str(picture.refused))
            continue
        try:
            drawn = explained(spec, network, picture.image_bgr, limits)
        except InputError as error:
            say(f"{picture.source}: {error}")
            continue
        path = out / f"{picture.stem}.png"
        write_image(path, drawn)
        written += 1
        yield path
    if refused:
        raise InputError(f"{refused} picture{'s' * (refused > 1)} could not be read", "the reasons stand above")
    if not written:
        raise InputError("no picture was explained", "the reasons stand above")
