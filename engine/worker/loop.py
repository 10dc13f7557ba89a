"""The engine thread's life: load, warm up, then commands, looks and films in turn, until it is told to stop."""

from __future__ import annotations

import logging
import time
from collections import deque
from pathlib import Path

import torch

from engine.camera import Camera
from engine.errors import Cancelled, MirageError
from engine.messages import (
    EngineSettings,
    Failed,
    FrameUpdate,
    MemoryVariant,
    Notice,
    OpenSession,
    ProgressInfo,
    StepResult,
    WorkerState,
)
from engine.session import FolderSession
from engine.worker import loading
from engine.worker.cancelling import FrameCancel, WorkCancel, same_view
from engine.worker.compare import SecondView
from engine.worker.handlers import handle
from engine.worker.inbox import Inbox, Look
from engine.worker.opened import OpenedWorld
from engine.worker.outbox import Outbox
from engine.worker.quality import Quality
from engine.worker.saving import autosave
from engine.worker.works import PlanWork, Work
from engine.world_model import WorldModel

log = logging.getLogger(__name__)

SNAPSHOT_S = 0.25
"""While frames follow each other the memory is drawn anew at most this often."""


class EngineLoop:
    """Everything here runs on the engine thread. Handlers and works reach the world through it."""

    def __init__(
        self,
        inbox: Inbox,
        outbox: Outbox,
        settings: EngineSettings,
        model_dir: Path | None,
        load_model: loading.LoadModel | None,
    ) -> None:
        self.inbox = inbox
        self.outbox = outbox
        self.settings = settings
        self.world: OpenedWorld | None = None
        self.works: list[Work] = []
        self.variant: MemoryVariant | None = None
        self.paused = False
        self.second = SecondView(settings.compare)
        self.autosaver = FolderSession(settings.autosave) if settings.autosave is not None else None
        self._model_dir = model_dir
        self._load_model = load_model
        self._model: WorldModel | None = None
        self._quality: Quality | None = None
        self._seen_look = 0
        self._left_camera: Camera | None = None
        self._starved = False
        self._frame_times: deque[float] = deque(maxlen=24)
        self._snapshot_at = 0.0
        self._snapshot_due = False
        self._published_node: tuple[int, int, int] | None = None
        self._works_turn = False
        self.epoch = 0

    @property
    def model(self) -> WorldModel:
        """Raises :class:`MirageError` while there is none (it could not be loaded)."""
        if self._model is None:
            raise MirageError("There is no model to generate with; put the model's files back and restart Mirage.")
        return self._model

    @property
    def quality(self) -> Quality:
        assert self._quality is not None
        return self._quality

    # ------------------------------------------------------------------------------------------- life

    def run(self) -> None:
        """Until the inbox says stop. Errors become notices; only a bug here ends the thread early."""
        try:
            self._start()
            while not self.inbox.stopping:
                worked = self._run_command() or self._run_frame_or_work()
                if not worked and not self.inbox.stopping:
                    self._rest()
        finally:
            self._end()

    def _start(self) -> None:
        self.set_state(WorkerState.WARMING)
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        cancel = WorkCancel(self.inbox)
        try:
            self.progress(0.1, "loading the model")
            load = self._load_model
            self._model = load(self.settings) if load else loading.load_model(self.settings, self._model_dir)
            size = self.settings.size or self._model.spec.image_size
            self._quality = Quality(
                self.settings.quality, self._model.spec.default_steps, size, str(self._model.device)
            )
            cancel.check()
            loading.warm_up(self._model, size, self.progress, cancel)
            self.publish_quality()
        except Cancelled:
            pass  # the user would rather start at once, or quit
        except Exception as error:
            self.report(error)
        self.progress_done()
        self.set_state(WorkerState.IDLE)

    def _end(self) -> None:
        for work in self.works:
            try:
                work.cancel(self)
            except Exception:
                log.exception("a film could not be closed")
        self.works.clear()
        if self.world is not None and not self.world.autosaved:
            try:
                autosave(self)
            except Exception:
                log.exception("the last autosave failed")

    def _prepare(self) -> bool:
        """Use the time that nobody needs for what a frame would have to wait for later, a little at a time."""
        world = self.world
        places = world.explorer.places if world is not None else None
        return world is not None and places is not None and places.prepare(world.explorer.config.biome)

    def _rest(self) -> None:
        """Nothing to do: publish what was held back, save what is unsaved, and sleep without using any CPU."""
        self.publish_memory(force=True)
        self.second.refresh(self)
        self.set_state(WorkerState.IDLE)
        if self._prepare():
            return
        timeout = None
        if self.world is not None and self.autosaver is not None and not self.world.autosaved:
            timeout = max(0.0, self.world.changed_at + self.settings.autosave_s - time.monotonic())
        self.inbox.wait(self._seen_look, timeout)

    # ------------------------------------------------------------------------------------------- commands

    def _run_command(self) -> bool:
        entry = self.inbox.next_command()
        if entry is None:
            self._autosave_if_due()
            return False
        ident, command = entry
        try:
            reply = handle(self, ident, command)
        except Cancelled:
            reply = Failed("Cancelled", "The command was stopped before it was done; nothing was changed.")
        except Exception as error:
            notice = self.report(error)
            reply = Failed(notice.title, notice.text)
        if reply is not None:
            self.outbox.publish(reply=(ident, reply))
        self._autosave_if_due()
        return True

    def _autosave_if_due(self) -> None:
        world = self.world
        if world is None or world.autosaved or self.autosaver is None:
            return
        if time.monotonic() - world.changed_at >= self.settings.autosave_s:
            world.autosaved = True
            try:
                autosave(self)
            except Exception as error:  # told once; a full disk is not mended by telling it every few seconds
                self.autosaver = None
                self.report(error)

    # ------------------------------------------------------------------------------------------- frames

    def _run_frame_or_work(self) -> bool:
        """One live frame or one piece of a longer work; where both wait they take turns."""
        if self._works_turn and self._run_work():
            return True
        if self._run_frame():
            self._works_turn = True
            return True
        return self._run_work()

    def _run_frame(self) -> bool:
        world, look = self.world, self.inbox.newest_look
        if world is None or self.paused or look is None or self._model is None:
            return False
        if self._left_camera is not None and same_view(look.camera, self._left_camera):
            self._seen_look = look.id
            return False
        self._left_camera = None
        world.camera = camera = world.explorer.fit(look.camera)
        fresh = world.last is None or world.last_is_stale or not same_view(camera, world.last.camera)
        if fresh:
            return self._generate(world, look, refinement=0)
        self._seen_look = look.id
        last = world.last
        assert last is not None
        if look.moving:
            return False
        wanted = self.quality.wants_refinement(world.refinements, last.steps, last.coverage_mean)
        if wanted and world.explorer.can_refine(last):
            return self._generate(world, look, refinement=world.refinements + 1)
        return self._look_closer(world, look, last)

    def _generate(self, world: OpenedWorld, look: Look, refinement: int) -> bool:
        self.set_state(WorkerState.GENERATING)
        camera = world.explorer.fit(look.camera)
        steps = self.quality.steps(look.moving, refinement)
        cancel = FrameCancel(self.inbox, camera, patient=self._starved, optional=refinement > 0)
        progress = cancel.progress
        try:
            if refinement and world.last is not None:
                result = world.explorer.refine(world.last, steps=steps, progress=progress, cancel=cancel)
            else:
                still = not look.moving
                result = world.explorer.step(camera, steps=steps, closer=still, progress=progress, cancel=cancel)
        except Cancelled:
            self._starved = not refinement and cancel.moot
            if not cancel.moot and not self.inbox.interrupting:
                self._seen_look = look.id
                self.inbox.forget_look(look)
            return True
        except torch.cuda.OutOfMemoryError:
            self._out_of_memory(world)
            return True
        except Exception as error:
            self.inbox.forget_look(look)
            self._seen_look = look.id
            self.report(error)
            return True
        self._starved = False
        self._seen_look = look.id
        if not result.inventive:  # rare and dear: says nothing about what the next frame costs
            self.quality.observe(steps, result.timings_ms)
        now = time.perf_counter()
        self._frame_times.append(now)
        frame = FrameUpdate(
            result,
            look_id=look.id,
            fps=self._fps(),
            input_to_photon_ms=1000.0 * (now - look.at) if refinement == 0 else float("nan"),
            refinement=refinement,
        )
        self.outbox.publish(frame=frame, stats=result.stats)  # to the screen first, then to the books
        self.outbox.publish(steps=(world.remember(result, refinement).summary,))
        self.publish_memory()
        self.second.follow(self, moving=look.moving)
        return True

    def _look_closer(self, world: OpenedWorld, look: Look, last: StepResult) -> bool:
        """A camera came to rest: its picture is drawn once more, from all that is known of it."""
        memory = world.explorer.memory.latent
        if memory is None or memory.current != last.node or not world.explorer.can_look_closer(last):
            return False
        self.set_state(WorkerState.GENERATING)
        result = world.explorer.look_closer(last)
        frame = FrameUpdate(result, look_id=look.id, fps=self._fps(), refinement=world.refinements)
        self.outbox.publish(frame=frame)
        self.outbox.publish(steps=(world.remember(result, world.refinements).summary,))
        return True

    @property
    def look_waits(self) -> bool:
        """A camera was asked for that has no frame yet."""
        look = self.inbox.newest_look
        return look is not None and look.id > self._seen_look

    def _fps(self) -> float:
        """Frames a second over the last two seconds."""
        now = self._frame_times[-1]
        recent = [at for at in self._frame_times if now - at < 2.0]
        return (len(recent) - 1) / (now - recent[0]) if len(recent) > 1 else 0.0

    def _out_of_memory(self, world: OpenedWorld) -> None:
        """CUDA ran out: one quality step down, and say so."""
        torch.cuda.empty_cache()
        size = self.quality.drop(self.model.spec.spatial_stride)
        if size is None:
            self.paused = True
            text = (
                "The GPU is out of memory even at the smallest size; close other programs and resume, or use the CPU."
            )
            self.outbox.publish(notice=Notice("error", "Out of GPU memory", text))
            return
        world.explorer.resize(size)
        text = f"The GPU ran out of memory; frames are now {size[0]}x{size[1]}. Close other programs to go back up."
        self.outbox.publish(notice=Notice("warning", "Quality was lowered", text))
        self.publish_quality()

    # ------------------------------------------------------------------------------------------- longer works

    def _run_work(self) -> bool:
        """One piece of the first film, mesh or plan in line."""
        self._works_turn = False
        if not self.works:
            return False
        work = self.works[0]
        if not isinstance(work, PlanWork):
            self.set_state(WorkerState.EXPORTING)
        try:
            finished = work.advance(self)
        except Cancelled:
            finished = True
            work.cancel(self)
        except Exception as error:
            finished = True
            notice = self.report(error)
            work.fail(self, Failed(notice.title, notice.text))
        if finished:
            self.works.remove(work)
        return True

    # ------------------------------------------------------------------------------------------- telling

    def set_state(self, state: WorkerState) -> None:
        if self.outbox.state is not state:
            self.outbox.publish(state=state)

    def progress(self, fraction: float, text: str) -> None:
        """Long work has come this far."""
        self.outbox.publish(progress=ProgressInfo(fraction, text), progress_done=False)

    def progress_done(self) -> None:
        self.outbox.publish(progress=None, progress_done=True)

    def report(self, error: BaseException) -> Notice:
        """Tell the user; log what is a bug."""
        if isinstance(error, MirageError):
            notice = Notice("error", error.title, str(error))
        else:
            log.exception("engine error", exc_info=error)
            what = f"{type(error).__name__}: {error}"
            text = f"Something unexpected went wrong ({what}); Mirage goes on, its log has the details."
            notice = Notice("error", "That did not work", text)
        self.outbox.publish(notice=notice)
        return notice

    def publish_quality(self) -> None:
        self.outbox.publish(quality=self.quality.info())

    def publish_world(self) -> None:
        if self.world is not None:
            self.outbox.publish(world=self.world.info())

    def publish_memory(self, force: bool = False) -> None:
        """Snapshot and tree, where they changed and it is time."""
        world = self.world
        memory = world.explorer.memory.latent if world is not None else None
        if world is None or memory is None:
            return
        now = time.monotonic()
        state = (world.epoch, memory.current, len(memory.tree))
        self._snapshot_due |= state != self._published_node
        if self._snapshot_due and (force or now - self._snapshot_at >= SNAPSHOT_S):
            self._snapshot_at, self._snapshot_due, self._published_node = now, False, state
            self.outbox.publish(snapshot=memory.snapshot(), tree=world.tree(), stats=world.explorer.memory.stats())

    def memory_changed(self) -> None:
        """The memory changed by something other than a step: draw it anew."""
        self._published_node = None
        self.publish_memory(force=True)

    def show(self, world: OpenedWorld, result: StepResult, recalled: bool) -> None:
        """Put a frame on the screen that no look asked for."""
        world.last, world.camera, world.refinements = result, result.camera, self.quality.asked.refinements
        world.last_is_stale = False
        stats = world.explorer.memory.stats()
        self.outbox.publish(frame=FrameUpdate(result, recalled=recalled), stats=stats, news=True)
        self.second.changed()
        self.second.follow(self, moving=False)

    def leave_place(self) -> None:
        """Looks that were asked for mean the place that is being left.

        A window that goes on asking for the very camera it had would undo an undo by generating there anew; that camera
        is ignored until it moves.
        """
        look = self.inbox.newest_look
        self._left_camera = look.camera if look is not None else self._left_camera
        self.inbox.bar_looks()

    def enter(self, world: OpenedWorld) -> None:
        """Make ``world`` the open one and show it."""
        self.cancel_works()
        self.leave_place()
        self._left_camera = None
        self.world = world
        self.second.changed()
        self.outbox.forget_world()
        self.outbox.publish(
            world=world.info(),
            steps=tuple(record.summary for record in world.frames),
            frame=FrameUpdate(world.last, recalled=isinstance(world.source, OpenSession)) if world.last else None,
            news=True,
        )
        self.memory_changed()
        self.second.follow(self, moving=False)

    def cancel_works(self) -> None:
        """Stop all films; what they rendered stays."""
        for work in self.works:
            work.cancel(self)
        self.works.clear()
