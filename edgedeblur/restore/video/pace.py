"""A recording as a camera would give it: frames come at their times, and those that nobody waits for are dropped."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Frame = TypeVar("Frame")


class Pace:
    """Gives a recording's frames in real time.

    A frame is dropped when the next one is there already, at the moment when the taker asks for another: what a
    camera's queue of one frame does. dropped: how many were.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, wait: Callable[[float], None] = time.sleep):
        self._clock, self._wait = clock, wait
        self.dropped = 0

    def live(self, frames: Iterable[Frame], seconds: Callable[[Frame], float]) -> Iterator[Frame]:
        """The frames that are taken, each not before its time; `seconds` gives a frame's time."""
        coming = iter(frames)
        frame = next(coming, None)
        if frame is None:
            return
        start = self._clock() - seconds(frame)
        while frame is not None:
            following = next(coming, None)
            now = self._clock() - start
            if following is not None and now >= seconds(following):
                self.dropped += 1
            else:
                if now < seconds(frame):
                    self._wait(seconds(frame) - now)
                yield frame
            frame = following
