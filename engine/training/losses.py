"""Losses and quality figures used while training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss, mse_loss


def gradient_loss(prediction: Tensor, target: Tensor, scales: int = 3) -> Tensor:
    """Mean absolute difference of image gradients over a pyramid; (B, 3, H, W) each. Edges weigh as much as areas."""
    total = prediction.new_zeros(())
    for scale in range(scales):
        if scale:
            prediction, target = avg_pool2d(prediction, 2), avg_pool2d(target, 2)
        difference = prediction - target
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return total


def reconstruction_loss(prediction: Tensor, target: Tensor, gradient_weight: float, mse_weight: float) -> Tensor:
    """L1 + gradients at three scales + MSE."""
    return (
        l1_loss(prediction, target)
        + gradient_weight * gradient_loss(prediction, target)
        + mse_weight * mse_loss(prediction, target)
    )


def psnr_db(prediction: Tensor, target: Tensor) -> Tensor:
    """PSNR per image, (B, 3, H, W) in [0, 1] -> (B,) dB; the mean over images is the mean of dB."""
    mse = (prediction.float() - target.float()).square().flatten(1).mean(1)
    return -10.0 * torch.log10(mse.clamp(min=1e-10))


def covered_psnr_db(prediction: Tensor, target: Tensor, covered: Tensor) -> Tensor:
    """PSNR on covered cells only: (B, 3, H, W) twice and covered (B, h, w) bool -> (B,) dB."""
    mask = covered[:, None].repeat_interleave(target.shape[-2] // covered.shape[-2], 2)
    mask = mask.repeat_interleave(target.shape[-1] // covered.shape[-1], 3).float()
    error = ((prediction.float() - target.float()).square().mean(1, keepdim=True) * mask).flatten(1).sum(1)
    return -10.0 * torch.log10((error / mask.flatten(1).sum(1).clamp(min=1.0)).clamp(min=1e-10))
