"""How many threads OpenCV uses, a setting of the whole process."""

import contextlib
from collections.abc import Iterator

import cv2


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Within the block OpenCV works in the thread that calls it: its own pool would fight with loader threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
