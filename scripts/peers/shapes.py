"""The shapes that are timed."""

from typing import NamedTuple


class Shape(NamedTuple):
    """B = 1. Ops without heads have H * V channels."""

    T: int
    H: int
    K: int
    V: int

    def __str__(self):
        return f'T={self.T},H={self.H},K={self.K},V={self.V}'


LENGTHS = (8192, 32768, 131072, 524288)
# Head sizes: ours to compare by, small heads, and those of the peer's own models (GLA, gated delta net).
HEADS = (16, 128, 128)
SMALL = (32, 64, 64)
GLA_MODEL = (4, 256, 512)
GATED_DELTA_MODEL = (6, 256, 512)
