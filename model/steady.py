"""Matrices whose rows hold one number each: kept as one column, seen as a matrix.

Start timestamps are like that: a series has the same one for as long as its process lives.
"""

from typing import Any

import numpy as np

from model.samples import Ints


def steady(matrix: Ints) -> bool:
    """Tell whether each row is known to hold one number; a look at the shape, not at the cells."""
    return matrix.shape[1] == 1 or (matrix.shape[1] > 1 and matrix.strides[1] == 0)


def spread(column: Ints, width: int) -> Ints:
    """Return a column (k,) as a matrix (k, width), which takes no room."""
    return np.broadcast_to(column[:, None], (len(column), width))


def made_steady(matrix: Ints) -> Ints:
    """Return a matrix as one column seen as a matrix, if that is all it holds."""
    if steady(matrix) or not matrix.shape[1] or (matrix != matrix[:, :1]).any():
        return matrix
    return spread(matrix[:, 0].copy(), matrix.shape[1])


def rows_of(matrix: Ints, rows: Any) -> Ints:
    """Return some rows (an index array, a mask or a slice); what is steady stays so."""
    if isinstance(rows, slice) or not steady(matrix):
        picked: Ints = matrix[rows]
        return picked
    return spread(matrix[rows, 0], matrix.shape[1])
