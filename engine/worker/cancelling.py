"""When the running work should stop: asked for between denoising steps."""

from __future__ import annotations

import numpy as np

from engine.camera import Camera
from engine.errors import Cancelled
from engine.worker.inbox import Inbox
from engine.world_model import CancelToken

FAR_TURN_DEG = 20.0
FAR_MOVE_M = 3.0
EARLY = 0.5
"""Past this share of its steps a frame is finished whatever happens: throwing it away would cost more than it saves."""


def far_apart(a: Camera, b: Camera) -> bool:
    """The views differ so much that a frame of the one is of little use for the other."""
    cosine = float(np.clip(a.forward @ b.forward, -1.0, 1.0))
    return np.degrees(np.arccos(cosine)) > FAR_TURN_DEG or float(np.linalg.norm(a.position - b.position)) > FAR_MOVE_M


def same_view(a: Camera, b: Camera) -> bool:
    """The cameras agree to what a pixel could show."""
    return bool(np.abs(a.c2w - b.c2w).max() < 1e-5 and np.abs(a.K / a.height - b.K / b.height).max() < 1e-6)


class WorkCancel(CancelToken):
    """Stops long work when the user cancels, quits, or queues a command that makes it moot (``interruptible``)."""

    def __init__(self, inbox: Inbox, interruptible: bool = False) -> None:
        super().__init__()
        self._inbox = inbox
        self._interruptible = interruptible
        self._cancels = inbox.cancels

    @property
    def cancelled(self) -> bool:
        inbox = self._inbox
        return (
            super().cancelled
            or inbox.stopping
            or inbox.cancels != self._cancels
            or (self._interruptible and inbox.interrupting)
        )

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled


class FrameCancel(WorkCancel):
    """Stops a live frame, too, when the camera has gone elsewhere and the frame is still young.

    While flying the camera changes all the time; a frame is only moot when the newest camera is far away, and never
    twice in a row (``patient``): something must reach the screen. A refinement in place (``optional``) yields to any
    other camera at once.
    """

    def __init__(self, inbox: Inbox, camera: Camera, *, patient: bool, optional: bool) -> None:
        super().__init__(inbox, interruptible=True)
        self._camera = camera
        self._patient = patient
        self._optional = optional
        self.fraction = 0.0

    def progress(self, fraction: float, text: str) -> None:
        """Given to the model as its progress callback."""
        self.fraction = fraction

    @property
    def cancelled(self) -> bool:
        return super().cancelled or self.moot

    @property
    def moot(self) -> bool:
        """The newest camera makes this frame useless."""
        look = self._inbox.newest_look
        if look is None or self.fraction >= EARLY:
            return False
        if self._optional:
            return not same_view(look.camera, self._camera)
        return not self._patient and far_apart(look.camera, self._camera)
