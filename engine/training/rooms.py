"""The rooms that a model carries, to learn from: what one of a room's two points tells of a view from the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.camera import Camera
from engine.errors import InputError
from engine.memory import LatentMemory, LatentView
from engine.training.config import PlacesConfig
from engine.training.places import encoded_place, module_of, sphere
from engine.training.recall import LatentScene, fresh_memory
from engine.training.scenes import SAMPLES, STRIDE


class Rooms:
    """The rendered rooms of a folder, encoded once.

    Args:
        config: of the places that they were rendered as. encoder: of the latents. cells: (h, w) of the views.

    Raises:
        InputError: there are no rooms whose views are as large.
    """

    def __init__(self, config: PlacesConfig, encoder: nn.Module, cells: tuple[int, int]) -> None:
        self.config = config
        self.cells = cells
        self._half = len(sphere(config, config.width, config.height))
        paths = sorted(Path(config.folder).glob("place_*.safetensors"))
        found = (encoded_place(config, path, encoder) for path in paths)
        self.rooms = [room for room in found if module_of(room.biome) is not None]
        sizes = [view.shape[-2:] for room in self.rooms for view in room.latents[: 2 * self._half]]
        if not (sizes and all(h >= cells[0] and w >= cells[1] for h, w in sizes)):
            raise InputError(
                f"{config.folder} holds no rooms whose views are at least as large as a frame; render some with "
                f"`mirage train places --set biomes=interior height=672 width=528`, or set room_share=0."
            )
        self._memories: dict[tuple[int, int], LatentMemory] = {}

    def view(self, generator: torch.Generator) -> tuple[LatentScene, LatentMemory]:
        """A part of one of the views around a point, as large as a frame, and the memory of all that the room's other
        point saw; not to be written to."""
        index, side = (int(torch.randint(n, (), generator=generator)) for n in (len(self.rooms), 2))
        room = self.rooms[index]
        around = int(torch.randint(self.config.views, (), generator=generator))
        latents, inverse_depth, camera = list(room.views())[side * self._half + around]
        height, width = self.cells
        top, left = (
            int(torch.randint(whole - part + 1, (), generator=generator))
            for whole, part in zip(latents.shape[-2:], self.cells, strict=True)
        )
        k = camera.K.copy()
        k[:2, 2] -= STRIDE * np.array([left, top])
        rows, columns = slice(top * SAMPLES, (top + height) * SAMPLES), slice(left * SAMPLES, (left + width) * SAMPLES)
        scene = LatentScene(
            latents[None, :, top : top + height, left : left + width],
            inverse_depth[None, rows, columns],
            (Camera(camera.c2w, k, STRIDE * width, STRIDE * height),),
            room.biome,
        )
        return scene, self._memory(index, 1 - side)

    def _memory(self, index: int, side: int) -> LatentMemory:
        """Of all views from one point of a room."""
        if (index, side) not in self._memories:
            room = self.rooms[index]
            memory = fresh_memory(room.latents[0].shape[0])
            for latents, inverse_depth, camera in list(room.views())[side * self._half : (side + 1) * self._half]:
                memory.write(LatentView(camera, latents, inverse_depth))
            self._memories[index, side] = memory
        return self._memories[index, side]
