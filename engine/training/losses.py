"""Losses and quality figures used while training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, l1_loss, mse_loss, pixel_unshuffle

TEXTURE_FLOOR = 1e-5
"""Energy below which texture is not missed: a grey level, squared."""
FEATURE_FLOOR = 0.05
"""The same for features, as a share of their mean variance."""


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


def texture_loss(prediction: Tensor, target: Tensor, weight: Tensor, scales: int = 3, reach: int = 16) -> Tensor:
    """How far the local energy of derivatives is off, in log2, over a pyramid; (B, 3, H, W) each, weighted by
    (B, 1, H, W).

    Says how much texture there is at each scale and along each axis, in brightness and in colour, not where its strokes
    lie: the statistics of Portilla and Simoncelli (2000) that sharpness hangs on. What has many answers is not averaged
    by it.
    """
    total = prediction.new_zeros(())
    made, true = _opponent(prediction), _opponent(target)
    for scale in range(scales):
        if scale:
            made, true = avg_pool2d(made, 2), avg_pool2d(true, 2)
        window = max(4, reach >> scale)
        for derivative in (_along_x, _along_y, _laplacian):
            energies = [avg_pool2d(derivative(x).square(), window, window // 2) + TEXTURE_FLOOR for x in (made, true)]
            total = total + _weighted((energies[0].log2() - energies[1].log2()).abs(), weight)
    return total / (3 * scales)


def grid_loss(prediction: Tensor, target: Tensor, period: int, repeats: int = 4) -> Tensor:
    """Mean square of what two pictures (B, 3, H, W) differ by in every ``period``-th pixel alike, over ``repeats`` of
    them along each axis.

    A decoder that lacks texture can draw the energy of it as the grid of its own features. True texture has no grid.
    """
    phases = pixel_unshuffle(prediction.float() - target.float(), period).unflatten(1, (prediction.shape[1], -1))
    local = avg_pool2d(phases.flatten(0, 1), repeats, max(1, repeats // 2))
    return (local - local.mean(1, keepdim=True)).square().mean()


def feature_texture_loss(
    prediction: Sequence[Tensor], target: Sequence[Tensor], weight: Tensor, reach: int = 16
) -> Tensor:
    """How far the local variance of a network's features is off, in log2; (B, width, h, w) of each scale, finest first,
    weighted by (B, 1, H, W).

    As :func:`texture_loss`, for what a network that was trained on such pictures looks at: strokes and leaves have
    their own features, noise of the same energy has others.
    """
    total = target[0].new_zeros((), dtype=torch.float32)
    for scale, (made, true) in enumerate(zip(prediction, target, strict=True)):
        window = max(4, reach >> (scale + 1))
        variances = [_local_variance(x.float(), window) for x in (made, true)]
        floor = FEATURE_FLOOR * variances[1].mean(dim=(0, 2, 3), keepdim=True) + 1e-8
        total = total + _weighted(((variances[0] + floor).log2() - (variances[1] + floor).log2()).abs(), weight)
    return total / len(target)


def _weighted(error: Tensor, weight: Tensor) -> Tensor:
    """The mean of (B, C, h, w) times a weight (B, 1, H, W)."""
    return (error * adaptive_avg_pool2d(weight, (error.shape[-2], error.shape[-1]))).mean()


def _local_variance(x: Tensor, window: int) -> Tensor:
    mean, square = (avg_pool2d(v, window, window // 2) for v in (x, x.square()))
    return (square - mean.square()).clamp(min=0.0)


def _opponent(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) -> luma, and red and blue without it."""
    luma = _luma(rgb)
    return torch.cat([luma, rgb[:, :1].float() - luma, rgb[:, 2:].float() - luma], dim=1)


def _luma(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W) float32."""
    weights = rgb.new_tensor([0.299, 0.587, 0.114], dtype=torch.float32)[:, None, None]
    return (rgb.float() * weights).sum(1, keepdim=True)


def _along_x(picture: Tensor) -> Tensor:
    return picture.diff(dim=-1)


def _along_y(picture: Tensor) -> Tensor:
    return picture.diff(dim=-2)


def _laplacian(picture: Tensor) -> Tensor:
    """The 4-neighbour Laplacian, (B, C, H, W) -> (B, C, H - 2, W - 2)."""
    beside = picture[..., 1:-1, :-2] + picture[..., 1:-1, 2:] + picture[..., :-2, 1:-1] + picture[..., 2:, 1:-1]
    return beside - 4.0 * picture[..., 1:-1, 1:-1]


@torch.no_grad()
def picture_metric(decoder: Callable[[Tensor], Tensor], latents: Tensor, spacing: int = 8) -> Tensor:
    """(C, C): how much two errors of a cell's latent add to the squared error of the picture, on average over cells of
    ``latents`` (B, C, h, w); scaled to a mean of 1 along the diagonal.

    It is the decoder's Jacobian times itself, by finite differences in every ``spacing``-th cell. An error of one size
    costs the picture 17 times as much along some directions as along others.
    """
    step = 0.1
    before = decoder(latents).float()
    changes = []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        moved[:, channel, spacing // 2 :: spacing, spacing // 2 :: spacing] += step
        changes.append((decoder(moved).float() - before).flatten())
    change = torch.stack(changes)
    metric = change @ change.T
    return metric / metric.diagonal().mean()


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
    made, true = ((_laplacian(_luma(x)) * mask).square().sum() for x in (prediction, target))
    return made / true.clamp(min=1e-9)


def cells_to_pixels(cells: Tensor, stride: int = 8) -> Tensor:
    """(B, h, w) bool -> (B, 1, stride h, stride w) float."""
    return cells[:, None].repeat_interleave(stride, 2).repeat_interleave(stride, 3).float()
