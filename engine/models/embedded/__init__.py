"""The embedded world model: an autoencoder, a learned memory readout, a rectified-flow denoiser, and detail."""

from __future__ import annotations

from engine.models.embedded.model import EmbeddedModel

__all__ = ["EmbeddedModel"]
