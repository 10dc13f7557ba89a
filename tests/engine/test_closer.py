"""The larger picture shows what the memory knows more finely than a frame's tokens tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.camera import Camera, c2w_from_angles
from engine.explorer import Explorer, ExplorerConfig
from engine.metrics import psnr_db
from engine.models.embedded import EmbeddedModel
from engine.worlds import World, WorldSpec
from tests.engine import explorer_support
from tests.engine.test_levels import pyramid


def begun(model: EmbeddedModel) -> Explorer:
    explorer = explorer_support.explorer(model)
    explorer.begin(explorer_support.camera(), pyramid())
    return explorer


def test_looking_closer_later_is_the_same_as_at_once(tiny_model: EmbeddedModel) -> None:
    ahead = explorer_support.camera(0.5)
    one, other = begun(tiny_model), begun(tiny_model)
    at_once, draft = one.step(ahead), other.step(ahead, closer=False)
    assert at_once.closer and not draft.closer and other.can_look_closer(draft)
    later = other.look_closer(draft)
    assert later.closer and not other.can_look_closer(later) and other.look_closer(later) is later
    np.testing.assert_array_equal(at_once.fine_rgb, later.fine_rgb)
    np.testing.assert_array_equal(at_once.rgb, draft.rgb)
    assert draft.fine_rgb is not None and (later.fine_rgb != draft.fine_rgb).any()


def test_looking_closer_is_no_reading_that_counts(tiny_model: EmbeddedModel) -> None:
    explorer = begun(tiny_model)
    draft = explorer.step(explorer_support.camera(0.5), closer=False)
    memory = explorer.memory.latent
    assert memory is not None
    before, reads = explorer.memory.stats(), memory.store.reads.rows.copy()
    explorer.look_closer(draft)
    after = explorer.memory.stats()
    assert (after.hit_rate, after.tokens_living, after.mib) == (before.hit_rate, before.tokens_living, before.mib)
    assert (memory.store.reads.rows == reads).all()


def test_without_finer_tokens_the_picture_stays(tiny_model: EmbeddedModel) -> None:
    explorer = explorer_support.explorer(tiny_model)
    first = explorer.begin(explorer_support.camera(), explorer_support.first_view())
    assert not first.closer and not explorer.can_look_closer(first) and explorer.look_closer(first) is first
    away = begun(tiny_model).step(explorer_support.camera(0.0, yaw_deg=180.0))
    assert away.closer, "there was nothing finer in this view, and that is all that can be said of it"


def test_the_sky_and_what_was_imagined_stay_as_they_were_drawn(tiny_model: EmbeddedModel) -> None:
    explorer = begun(tiny_model)
    draft = explorer.step(explorer_support.camera(0.5), closer=False)
    closer = explorer.look_closer(draft)
    assert closer.fine_rgb is not None and draft.fine_rgb is not None
    np.testing.assert_array_equal(closer.fine_rgb[:24, :120], draft.fine_rgb[:24, :120])


@pytest.mark.parametrize(("biome", "seed"), [("village", 1_000_003), ("snow", 1_000_102)])
def test_with_the_shipped_model_it_comes_nearer_to_the_true_world(biome: str, seed: int) -> None:
    model, world = EmbeddedModel.load(), World(WorldSpec(biome, seed))
    camera = world.spawn(448, 256)
    explorer = Explorer(model, ExplorerConfig(biome=biome, seed=1), world)
    explorer.begin(camera, explorer.first_view(camera))
    ahead: Camera = camera.posed(
        c2w_from_angles(camera.position + 2.0 * camera.forward, camera.yaw_deg, camera.pitch_deg)
    )
    draft = explorer.step(ahead, closer=False)
    closer = explorer.look_closer(draft)
    truth = world.render(ahead.resized(896, 512), supersample=2).rgb.clamp(0, 1)
    image = (truth * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    assert draft.fine_rgb is not None and closer.fine_rgb is not None
    assert psnr_db(closer.fine_rgb, image) > psnr_db(draft.fine_rgb, image) + 1.5
