"""What runs a network: TensorRT on NVIDIA GPUs, ONNX Runtime on the CPU, behind one small interface."""

from typing import Any, List

import numpy as np


class Engine:
    """One network, ready to run in the thread that made it.

    ``title`` names the library and its version, ``precision`` what it computes in, ``notice`` says in a
    sentence why this engine and precision were chosen.
    """

    title = ""
    precision = ""
    notice = ""

    def run(self, tensor: np.ndarray) -> List[np.ndarray]:
        """``(1, 3, h, w) float32`` → the outputs in the network's order, as float32.

        The arrays may be reused by the next call.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release memory and context; the engine cannot be used any more."""

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
