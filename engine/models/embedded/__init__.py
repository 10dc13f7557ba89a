"""The embedded world model: a small autoencoder, a learned memory readout and a rectified-flow denoiser."""

from __future__ import annotations

from engine.models.embedded.model import EmbeddedModel

__all__ = ["EmbeddedModel"]
