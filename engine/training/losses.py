"""Losses and quality figures used while training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, l1_loss, mse_loss


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
    mask = cells_to_pixels(covered, target.shape[-1] // covered.shape[-1])
    error = ((prediction.float() - target.float()).square().mean(1, keepdim=True) * mask).flatten(1).sum(1)
    return -10.0 * torch.log10((error / mask.flatten(1).sum(1).clamp(min=1.0)).clamp(min=1e-10))


def sharpness_ratio(prediction: Tensor, target: Tensor, cells: Tensor) -> Tensor:
    """Energy of the Laplacian of luma over the truth's, on some cells: (B, 3, H, W) twice, cells (B, h, w) bool ->
    scalar; 1 is as sharp as the truth. The quick cousin of :func:`engine.evaluation.measures.sharpness_ratio`."""
    mask = cells_to_pixels(cells, target.shape[-1] // cells.shape[-1])[:, :, 1:-1, 1:-1]
    kernel = target.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    luma = target.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    made, true = (
        (conv2d((x.float() * luma).sum(1, keepdim=True), kernel) * mask).square().sum() for x in (prediction, target)
    )
    return made / true.clamp(min=1e-9)


def cells_to_pixels(cells: Tensor, stride: int = 8) -> Tensor:
    """(B, h, w) bool -> (B, 1, stride h, stride w) float."""
    return cells[:, None].repeat_interleave(stride, 2).repeat_interleave(stride, 3).float()
