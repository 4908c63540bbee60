"""Symmetric matrices (3, 3), as poses have for covariance and information: too small for a library call."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def inverse3(A: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of a symmetric A (3, 3), by cofactors."""
    c00, c01 = A[1, 1] * A[2, 2] - A[1, 2] * A[2, 1], A[1, 2] * A[2, 0] - A[1, 0] * A[2, 2]
    c02 = A[1, 0] * A[2, 1] - A[1, 1] * A[2, 0]
    c11, c12 = A[0, 0] * A[2, 2] - A[0, 2] * A[2, 0], A[0, 1] * A[2, 0] - A[0, 0] * A[2, 1]
    c22 = A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0]
    part = 1.0 / (A[0, 0] * c00 + A[0, 1] * c01 + A[0, 2] * c02)
    return np.array(
        [
            [part * c00, part * c01, part * c02],
            [part * c01, part * c11, part * c12],
            [part * c02, part * c12, part * c22],
        ]
    )


@njit(cache=True, nogil=True)
def solve3(A: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """x of A x = b for a symmetric A (3, 3)."""
    B = inverse3(A)
    x = np.empty(3)
    for k in range(3):
        x[k] = B[k, 0] * b[0] + B[k, 1] * b[1] + B[k, 2] * b[2]
    return x
