"""The explorer: read the memory, imagine, decode, remember.

One class behind the command line, the benchmark and the app.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from engine.camera import Camera
from engine.closer import drawn_closer, knows_more
from engine.cracks import closed
from engine.depth import anchored, reconcile, sample_inverse_depth
from engine.disocclusion import without_suggested
from engine.drawing import draw, draw_readout
from engine.errors import InputError
from engine.memory import Mosaic
from engine.messages import MemoryVariant, Preview, StepResult
from engine.overscan import shown_part, without_edge
from engine.pixels import frozen_numpy
from engine.prospect import News, Prospect, as_given, as_remembered, look_ahead
from engine.pyramid import FirstView, Pyramid, finer_views, levels_for, see_first
from engine.stepping import check_size, step_generator, timed
from engine.variants import Memory, make_memory
from engine.world_model import CancelToken, ChunkRequest, Progress, WorldModel

if TYPE_CHECKING:
    from engine.memory import Readout
    from engine.places import Match, Places
    from engine.worlds import World

MIN_FIRST_STEPS = 8
"""A world begun from nothing is all invention: it gets at least this many denoising steps."""


@dataclass(frozen=True)
class ExplorerConfig:
    """What an explorer is.

    Attributes:
        biome: one of the model's, or "" for unspecified. seed: of everything random.
        steps: denoising steps a frame; ``None``: the model's default. first_steps: of a world begun from nothing.
        memory: which memory conditions the model, see :mod:`engine.variants`.
        budget_mib: limit of the memory. size: (height, width) of generated frames; ``None``: the model's.
        fine: also draw frames at the model's fine scale, for the eye.
        places: what is new goes on from the model's stored places, where it carries some; else from what
            lies beside, and the denoiser invents.
        detail: what is imagined gets its texture back, where the model does so apart.
    """

    biome: str = ""
    seed: int = 0
    steps: int | None = None
    first_steps: int | None = None
    memory: MemoryVariant = "latent"
    budget_mib: float | None = None
    size: tuple[int, int] | None = None
    fine: bool = True
    places: bool = True
    detail: bool = True


class Explorer:
    """Explores one world. Synchronous, deterministic, not thread-safe.

    The same seed, model and cameras give the same frames, bit for bit, on one machine: step ``index`` draws from a
    generator of its own, seeded by (seed, index). A step that fails or is cancelled leaves no trace.

    Args:
        model: any world model whose chunks hold one frame.
        config: see :class:`ExplorerConfig`.
        world: the procedural world behind it, if there is one: the source of the first view and of the truth to compare
            with.

    Attributes:
        match: the place that new ground goes on from, see :mod:`engine.places`. matches: the same of every country
            (:mod:`engine.memory.countries`), by its number, when one was last in it.
        last_camera: where the newest frame was seen from, if there is one.

    Raises:
        InputError: the size is not a multiple of the model's stride, or the model does not know the biome.
    """

    def __init__(self, model: WorldModel, config: ExplorerConfig, world: World | None = None) -> None:
        spec = model.spec
        size = config.size or spec.image_size
        check_size(size, spec.spatial_stride)
        if config.biome and spec.biomes and config.biome not in spec.biomes:
            raise InputError(
                f"The model does not know the biome {config.biome!r}; choose one of {', '.join(spec.biomes)}."
            )
        self.model = model
        self.config = replace(config, size=size)
        self.world = world
        self.memory: Memory = self._empty_memory()
        self.index = 0
        self.begun = False
        self._last_view: Mosaic | None = None
        self.last_camera: Camera | None = None
        self._newest = -1
        self._before_newest: tuple[int, Match | None, Camera | None] = (0, None, None)
        self.match: Match | None = None
        self.matches: dict[int, Match | None] = {}

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of generated frames."""
        assert self.config.size is not None
        return self.config.size

    @property
    def last_readout(self) -> Readout | None:
        """What was known of the newest frame, if there is one."""
        return None if self._last_view is None else self._last_view.readout

    @property
    def places(self) -> Places | None:
        """The model's stored places, where it carries some and they are wanted."""
        return getattr(self.model, "places", None) if self.config.places else None

    @property
    def default_steps(self) -> int:
        """Denoising steps of a step that does not say how many."""
        return self.config.steps or self.model.spec.default_steps

    @property
    def built(self) -> bool:
        """Whether this is a building, of which places tell what stands behind near things."""
        return self.places is not None and self.places.built(self.config.biome)

    def _empty_memory(self) -> Memory:
        return make_memory(self.config.memory, self.model, self.config.budget_mib, layered=not self.built)

    @property
    def _has_scales(self) -> bool:
        """Whether the memory takes a first view at several scales."""
        return self.config.memory == "latent"

    def fit(self, camera: Camera) -> Camera:
        """``camera`` at this explorer's frame size."""
        return camera if camera.size == self.size else camera.resized(self.size[1], self.size[0])

    # ------------------------------------------------------------------------------------------- beginning

    def first_view(self, camera: Camera) -> FirstView:
        """The world's true view from ``camera``, supersampled; for a memory that has scales, as fine as it takes.

        Raises:
            InputError: there is no procedural world behind this explorer.
        """
        if self.world is None:
            raise InputError(
                "Only a procedural world has a first view; begin from a picture with depth or from nothing."
            )
        levels = levels_for(self.size, self.model.spec.spatial_stride) if self._has_scales else 0
        return see_first(self.world, self.fit(camera), levels)

    def begin(
        self,
        camera: Camera,
        first: FirstView | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> StepResult:
        """Start the world anew at ``camera``: from the view ``first`` (its base of this explorer's size), or from
        nothing.

        Raises:
            InputError: ``first`` has another size, or no usable depth.
            Cancelled: as asked; the explorer is as it was.
        """
        before = (self.memory, self.index, self.begun, self.match, self.matches, self.last_camera)
        self.memory = self._empty_memory()
        self.index, self.match, self.matches, self.last_camera = 0, None, {}, None
        try:
            if first is None:
                steps = self.config.first_steps or max(MIN_FIRST_STEPS, self.default_steps)
                result = self._imagine(self.fit(camera), steps, progress, cancel or CancelToken())
            else:
                result = self._encode(self.fit(camera), first, cancel or CancelToken())
        except BaseException:
            self.memory, self.index, self.begun, self.match, self.matches, self.last_camera = before
            raise
        self.begun = True
        return self.look_closer(result)

    def _encode(self, camera: Camera, given: FirstView, cancel: CancelToken) -> StepResult:
        """Write a given view as the first frame."""
        pyramid = given if isinstance(given, Pyramid) else Pyramid(given)
        first = pyramid.base
        if not self._has_scales:
            pyramid = Pyramid(first)
        rgb = torch.as_tensor(first.rgb, dtype=torch.float32)
        depth_m = torch.as_tensor(first.depth_m, dtype=torch.float32)
        if rgb.shape != (3, *self.size) or depth_m.shape != self.size:
            raise InputError(
                f"The first view must be {self.size[0]}x{self.size[1]} with depth of that size; it is "
                f"{rgb.shape[-2]}x{rgb.shape[-1]} with {depth_m.shape[-2]}x{depth_m.shape[-1]}."
            )
        timings: dict[str, float] = {}
        readout = self.memory.readout(camera).readout
        with timed(timings, self.model.device, "encode"):
            latents = self.model.encode(rgb[None].to(self.model.device))[0]
            finer, behind = finer_views(self.model, camera, pyramid, layered=not self.built)
        inverse = sample_inverse_depth(depth_m, *readout.covered.shape)
        if not bool((inverse > 0.0).any()):
            raise InputError(
                "The first view's depth holds no surface; give depth in metres, larger than 0, inf only for sky."
            )
        cancel.check()
        shown = torch.where(torch.isnan(inverse), inverse[inverse > 0.0].median(), inverse)
        news = News(camera, readout, latents, latents, shown, inverse, depth_m, finer=finer, behind=behind)
        return self._finish(camera, Mosaic(readout), news, timings, 0, cancel)

    # ------------------------------------------------------------------------------------------- reading

    def preview(self, camera: Camera) -> Preview:
        """What the memory alone knows, decoded; nothing is written. Where it knows nothing the picture is dark."""
        camera = self.fit(camera)
        timings: dict[str, float] = {}
        view = self._look(camera, timings)
        with timed(timings, self.model.device, "readout"):
            readout = view.readout
        with timed(timings, self.model.device, "decode"):
            rgb = draw_readout(self.model, readout)
        return Preview(
            camera=camera,
            rgb=rgb,
            inverse_depth=frozen_numpy(readout.inverse_depth),
            coverage=frozen_numpy(readout.coverage),
            token=frozen_numpy(readout.token),
            offsets=frozen_numpy(readout.offsets),
            log2_scale=frozen_numpy(readout.log2_scale),
            timings_ms=timings,
        )

    def coverage(self, camera: Camera) -> float:
        """Share of the view that is remembered, in [0, 1], from geometry alone."""
        return self.memory.coverage(self.fit(camera))

    # ------------------------------------------------------------------------------------------- stepping

    def step(
        self,
        camera: Camera,
        *,
        steps: int | None = None,
        with_readout: bool = False,
        closer: bool = True,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> StepResult:
        """Generate and remember the view from ``camera``.

        Args:
            steps: denoising steps; ``None``: :attr:`default_steps`.
            with_readout: also decode the readout alone into ``readout_rgb`` (not counted in the timings).
            closer: draw into the larger picture what is known more finely; :meth:`look_closer` does it later.
            progress, cancel: called and checked between denoising steps.

        Raises:
            InputError: the explorer was not begun.
            Cancelled: as asked; nothing was written.
        """
        if not self.begun:
            raise InputError("Begin the world before stepping through it.")
        camera = self.fit(camera)
        crossed = self._cross_over(camera)
        try:
            result = self._imagine(camera, steps or self.default_steps, progress, cancel or CancelToken(), with_readout)
        except BaseException:
            if crossed is not None and self.memory.latent is not None:
                self.memory.latent.stay(crossed[0])
                self.match = crossed[1]
            raise
        result = replace(result, renewed=result.renewed or crossed is not None)
        return self.look_closer(result) if closer else result

    def _cross_over(self, camera: Camera) -> tuple[int, Match | None] | None:
        """Come back to the country that a view was seen in, and to its place; from which node and place, if it is
        another."""
        memory, match = self.memory.latent, self.match
        if memory is None:
            return None
        before = memory.current
        crossed = memory.cross_over(camera)
        self.match = self.matches.get(memory.country, None if crossed else match)
        return (before, match) if crossed else None

    def can_look_closer(self, newest: StepResult) -> bool:
        """Is ``newest`` the frame that this explorer made last, and might :meth:`look_closer` find more of it?"""
        made = newest.index == self._newest and newest.fine_rgb is not None and not newest.closer
        return made and knows_more(self.memory.latent)

    def look_closer(self, newest: StepResult) -> StepResult:
        """``newest``, as the memory that it came from is now, with what is known more finely than its tokens tell in
        its larger picture."""
        memory = self.memory.latent
        if memory is None or newest.fine_rgb is None or not self.can_look_closer(newest):
            return newest
        started = time.perf_counter()
        seed = self.config.seed if self.config.detail else None
        fine = drawn_closer(self.model, memory, newest.camera, newest.fine_rgb, self.config.biome, seed)
        timings = {**newest.timings_ms, "closer": 1000.0 * (time.perf_counter() - started)}
        return replace(newest, fine_rgb=fine, closer=True, timings_ms=timings)

    def can_refine(self, newest: StepResult) -> bool:
        """Is ``newest`` the step that this explorer imagined last, and the world where it left it?"""
        present = self.memory.latent.current if self.memory.latent is not None else 0
        return newest.steps > 0 and newest.index == self._newest == self.index - 1 and newest.node == present

    def refine(
        self,
        newest: StepResult,
        *,
        steps: int,
        with_readout: bool = False,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> StepResult:
        """The newest frame again, with more steps and the same noise; what it had written is replaced by what this
        writes.

        Raises:
            InputError: ``newest`` is not the newest step, or the present was moved since.
            Cancelled: as asked; the frame and the memory stay as they are.
        """
        memory = self.memory.latent
        present = memory.current if memory is not None else 0
        if not self.can_refine(newest):
            raise InputError("Only the newest frame can be refined, if it was imagined and nothing changed since.")
        before, match_before, camera_before = self._before_newest
        replaces = present if present != before else None
        match, last_camera = self.match, self.last_camera
        if memory is not None and replaces is not None:
            memory.checkout(before)
        self.index, self.match, self.last_camera = self.index - 1, match_before, camera_before
        try:
            result = self._imagine(newest.camera, steps, progress, cancel or CancelToken(), with_readout, replaces)
        except BaseException:
            if memory is not None:
                memory.checkout(present)
            self.index, self.match, self.last_camera = newest.index + 1, match, last_camera
            self._before_newest = before, match_before, camera_before
            raise
        return self.look_closer(result)

    def _imagine(
        self,
        camera: Camera,
        steps: int,
        progress: Progress | None,
        cancel: CancelToken,
        with_readout: bool = False,
        replaces: int | None = None,
    ) -> StepResult:
        timings: dict[str, float] = {}
        generator = step_generator(self.config.seed, self.index)
        ahead, view = self._look_ahead(camera, steps, generator, timings)
        known = ahead.known
        with timed(timings, self.model.device, "imagine"):
            request = ChunkRequest(
                cameras=[ahead.camera],
                readouts=[ahead.believed],
                biome=self.config.biome,
                generator=generator,
                steps=ahead.steps,
                seed=self.config.seed,
                detail=self.config.detail,
                renewed=self._has_scales and self.places is not None,
                progress=progress,
                cancel=cancel,
            )
            chunk = self.model.imagine(request)
            imagined = chunk.inverse_depth[0].to(known.inverse_depth.device)
            if chunk.denoised:
                shown, writable, _ = reconcile(imagined, known.inverse_depth, known.covered, known.sky)
            else:
                shown, writable = anchored(imagined, known.inverse_depth, known.covered, known.sky)
                writable = without_suggested(writable, ahead.believed, known.covered)
            latents = as_remembered(known, chunk.latents[0])
            lasting, shown, writable = as_given(ahead, latents, shown, writable)
            if ahead.camera.size != camera.size:
                writable = without_edge(writable, known.covered, self.model.spec.geometry_samples)
        cancel.check()
        news = ahead.news(latents, lasting, shown, writable)
        taken = steps if chunk.denoised else 0
        result = self._finish(camera, view, news, timings, taken, cancel, with_readout, replaces)
        return replace(result, inventive=ahead.inventive, renewed=len(ahead.renewed) > 0 and not ahead.seamless)

    def _look_ahead(
        self, camera: Camera, steps: int, generator: torch.Generator, timings: dict[str, float]
    ) -> tuple[Prospect, Mosaic]:
        """What to imagine for a frame, and what the memory knows of it."""
        view = self._look(camera, timings)
        if self.config.memory == "none":
            return Prospect(camera, view.sight, view.sight, False, steps, self.match), view
        elsewhere: dict[str, float] = {}
        with timed(timings, self.model.device, "complete"):
            ahead = look_ahead(
                camera,
                view,
                lambda wider: self._look(wider, elsewhere),
                self.places,
                stride=self.model.spec.spatial_stride,
                biome=self.config.biome,
                steps=steps,
                generator=generator,
                latest=self.match,
                before=self.last_camera,
                memory=self.memory.latent,
                renews=self._has_scales,
            )
        for stage, ms in elsewhere.items():
            timings[stage] = timings.get(stage, 0.0) + ms
            timings["complete"] -= ms
        return ahead, view

    def _look(self, camera: Camera, timings: dict[str, float]) -> Mosaic:
        """The memory seen from ``camera``; an encoder's part of the time is charged apart.

        In a building, where places tell most of what was not truly seen, it is read when it is clear what of it.
        """
        memory = self.memory.latent
        with timed(timings, self.model.device, "readout"):
            if memory is not None and self.built and self._has_scales:
                sight = memory.sight(camera, counted=True)
                return Mosaic.of(memory, sight).showing(closed(sight))
            reading = self.memory.readout(camera)
            view = Mosaic(closed(reading.readout))
        timings["readout"] -= reading.encode_ms
        if reading.encode_ms:
            timings["encode"] = timings.get("encode", 0.0) + reading.encode_ms
        return view

    def _finish(
        self,
        camera: Camera,
        view: Mosaic,
        news: News,
        timings: dict[str, float],
        steps: int,
        cancel: CancelToken,
        with_readout: bool = False,
        replaces: int | None = None,
    ) -> StepResult:
        """Decode, then commit: whatever fails or is cancelled before the write leaves no trace."""
        wider = news.camera.size != camera.size
        with timed(timings, self.model.device, "decode"):
            drawing = draw(self.model, news.latents, wider=wider, fine=self.config.fine)
        readout_rgb = draw_readout(self.model, view.readout) if with_readout else None
        if self.config.budget_mib is not None:
            view = Mosaic(view.readout)  # tokens that it shows may have to leave
        shown = shown_part(news.shown, self.model.spec.geometry_samples) if wider else news.shown
        coverage, inverse_depth = frozen_numpy(view.sight.coverage), frozen_numpy(shown)
        cancel.check()
        with timed(timings, self.model.device, "write"):
            if replaces is not None:
                self.memory.drop(replaces)
            before = self.memory.latent.current if self.memory.latent is not None else 0
            commit = self.memory.write(news, drawing.rgb)
        self.index += 1
        self._before_newest, self.match = (before, self.match, self.last_camera), news.match
        if self.memory.latent is not None:
            self.matches[self.memory.latent.country] = news.match
        self._last_view, self.last_camera, self._newest = view, camera, self.index - 1
        return StepResult(
            index=self.index - 1,
            node=commit.node,
            camera=camera,
            rgb=drawing.picture,
            inverse_depth=inverse_depth,
            coverage=coverage,
            readout_rgb=readout_rgb,
            timings_ms=timings,
            steps=steps,
            tokens_written=commit.tokens_written,
            tokens_superseded=commit.tokens_superseded,
            stats=self.memory.stats(),
            wide=wider,
            fine_rgb=drawing.fine,
        )

    def resize(self, size: tuple[int, int]) -> None:
        """Generate frames of another (height, width) from now on; the memory stays as it is.

        Raises:
            InputError: the size is not a multiple of the model's stride.
        """
        check_size(size, self.model.spec.spatial_stride)
        self.config = replace(self.config, size=size)

    def set_budget(self, mib: float | None) -> None:
        """Limit the memory from the next write on; ``None``: no limit."""
        self.memory.set_budget(mib)
        self.config = replace(self.config, budget_mib=mib)

    # ------------------------------------------------------------------------------------------- forks

    def fork(self, size: tuple[int, int] | None = None, *, share: bool = False) -> Explorer:
        """An explorer of the same world that goes its own way from here.

        Its memory is a copy of this one's, or with ``share`` the very same (whoever shares keeps to a branch of the
        tree).
        """
        other = Explorer(self.model, replace(self.config, size=size or self.config.size), self.world)
        other.memory = self.memory if share else self.memory.fork()
        other.index, other.begun, other.match = self.index, self.begun, self.match
        other.last_camera, other.matches = self.last_camera, dict(self.matches)
        return other
