"""Training configurations: one frozen dataclass a stage, overridable from a TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import InputError

TRAINING_SEEDS = 1_000_000
"""World seeds below this are for training; from it on they are for evaluation and nothing else."""


@dataclass(frozen=True)
class SceneConfig:
    """The rendered scenes: several views along a walk through one world.

    Attributes:
        biomes: of the worlds, in turn, separated by commas; "" is all.
        shortest_gap_m, longest_gap_m: between two views; any order of magnitude in between is as likely.
        turn_deg_per_m: how far a walk turns, typically, beyond 3 degrees a view.
        strays: share of the views that are reached in any direction rather than ahead.
        workers: processes that render at the same time; 0 is one that uses all cores, which is slower than one a core.
    """

    folder: str = "data/scenes"
    biomes: str = ""
    scenes: int = 500
    views: int = 8
    walks_per_world: int = 2
    height: int = 256
    width: int = 448
    supersample: int = 1
    seed: int = 0
    evaluation_scenes: int = 12
    shortest_gap_m: float = 0.3
    longest_gap_m: float = 4.0
    turn_deg_per_m: float = 2.0
    strays: float = 0.2
    workers: int = 0


@dataclass(frozen=True)
class PlacesConfig:
    """The places that a model carries, see :mod:`engine.places`: all around from one point of a world each.

    Attributes:
        places: how many. biomes: as for scenes. seed: of the first world. times: of day, in turn, separated by commas;
            "" is all.
        views, pitch_deg: of two rings of views all around, which must overlap a little.
        fine_height, fine_width, fine_fov_deg: of the ring about the horizon, as finely seen as a frame is.
        height, width, fov_deg: of the ring that reaches farther up and down.
        down_fov_deg, up_fov_deg: vertical, of the views at the two poles, which must overlap that ring; as large.
        supersample: rays per pixel and axis, of all but the finest, which are rendered as scenes are.
        apart_m: a room is seen from two points so far apart instead, without the finest ring: in a building near things
            hide more.
        further_m, further_scale: what stands in a room hides much from both; so it is seen from six more: so far to
            either side of the line between the two, in the middle and beside each of them, so finely.
    """

    folder: str = "data/places"
    biomes: str = ""
    places: int = 72
    seed: int = 700_000
    times: str = ""
    views: int = 6
    pitch_deg: float = -4.0
    fine_height: int = 352
    fine_width: int = 528
    fine_fov_deg: float = 45.5
    height: int = 448
    width: int = 352
    fov_deg: float = 78.5
    down_fov_deg: float = 117.0
    up_fov_deg: float = 131.0
    supersample: int = 2
    apart_m: float = 15.0
    further_m: float = 10.5
    further_scale: float = 0.7


@dataclass(frozen=True)
class LoopConfig:
    """What every stage's loop needs.

    Attributes:
        minutes: time to train, over all resumes; the learning rate follows it (warm-up, then cosine).
        steps: stop after so many steps if that comes first; 0 is no such limit.
        checkpoint_minutes: time between checkpoints; a kill loses at most this much.
        learning_rate: Muon's, of the inner kernels; see :mod:`engine.training.optimizer`.
        amp: bfloat16 autocast, where the device multiplies it natively.
        noise_floor: final learning rate as a share of ``learning_rate``.
    """

    run: str = "runs/stage"
    minutes: float = 30.0
    steps: int = 0
    batch: int = 16
    learning_rate: float = 6e-3
    weight_decay: float = 1e-4
    warmup: float = 0.02
    noise_floor: float = 0.02
    ema: float = 0.998
    clip_norm: float = 1.0
    amp: bool = True
    device: str = "cpu"
    seed: int = 0
    checkpoint_minutes: float = 2.0
    evaluate_minutes: float = 8.0


@dataclass(frozen=True)
class AutoencoderTraining:
    """Losses and data of the autoencoder stage.

    Attributes:
        latent_noise: standard deviation of noise on the latents, so that the decoder forgives the denoiser.
        recolour: share of crops with other colours than the worlds'.
        patterns: share of crops that show dead leaves instead of a world.
        start_from: a weight file to begin with, of this configuration; "" begins anew.
    """

    loop: LoopConfig = LoopConfig(run="runs/autoencoder")
    scenes: SceneConfig = SceneConfig()
    crop_height: int = 128
    crop_width: int = 128
    latent_noise: float = 0.04
    gradient_weight: float = 0.4
    mse_weight: float = 20.0
    recolour: float = 0.08
    patterns: float = 0.125
    start_from: str = ""


@dataclass(frozen=True)
class ReadoutTraining:
    """The readout stage: true latents of some views resampled for another.

    Attributes:
        start_from: a weight file to begin with.
        plain, fine: folders of the same scenes, the second with twice as many pixels a side, whose views are remembered
            at both scales; "" is none. Rendered with ``supersample=2`` the first are as a world is seen. fine_share: of
            the examples that are no rooms.
        rolled: share of the examples whose sources are rolled by a quarter of a circle or more: ground that was seen
            from the other side, or from above. shifted: share of the rest that only shift a picture by parts of a cell.
        places: rooms, which were seen from two points, are seen from one of them as the other knows them. room_share:
            of the examples; 0 is none.
    """

    loop: LoopConfig = LoopConfig(run="runs/readout", batch=4, learning_rate=6e-3)
    scenes: SceneConfig = SceneConfig()
    autoencoder_run: str = "runs/autoencoder"
    max_sources: int = 3
    latent_noise: float = 0.03
    start_from: str = ""
    plain: str = ""
    fine: str = ""
    fine_share: float = 0.6
    rolled: float = 0.4
    shifted: float = 0.25
    places: PlacesConfig = PlacesConfig()
    room_share: float = 0.0


@dataclass(frozen=True)
class DenoiserTraining:
    """The denoiser stage.

    Attributes:
        noises_per_view: how many (time, noise) pairs share one readout.
        empty: share of views trained with no memory at all.
        dropped: share of views whose memory loses parts.
        suggested: share of those whose lost parts come back as suggestions, a little off and in another light.
        pure_noise: share trained at t = 0, where sampling begins.
        few_step: share trained at the other times of samplers of two and four steps.
        self_memory: final share of views whose memory holds the model's own output (ramped up over the second half).
        perturb: standard deviation of noise on remembered latents, in latent units.
        depth_weight: weight of the log-depth channels.
        covered_weight, invented_weight: how much an error weighs where the memory knows, and where it does not: there
            the truth is one possibility of many, and the critic is the better judge.
        adversarial: how hard the critic pulls, see :class:`engine.training.adversarial.Adversary`; 0 is none.
        adversarial_from: share of the training after which the critic begins to learn.
        start_from: a weight file to begin with; "" begins anew.
    """

    loop: LoopConfig = LoopConfig(run="runs/denoiser", batch=8, learning_rate=5e-3)
    scenes: SceneConfig = SceneConfig()
    autoencoder_run: str = "runs/autoencoder"
    readout_run: str = "runs/readout"
    max_sources: int = 3
    noises_per_view: int = 2
    empty: float = 0.1
    dropped: float = 0.6
    suggested: float = 0.5
    pure_noise: float = 0.4
    few_step: float = 0.3
    self_memory: float = 0.5
    perturb: float = 0.08
    depth_weight: float = 1.0
    covered_weight: float = 5.0
    invented_weight: float = 1.0
    adversarial: float = 0.0
    adversarial_from: float = 0.25
    start_from: str = ""


@dataclass(frozen=True)
class DecoderTraining:
    """The decoder alone, on true and on generated latents, at both of its sizes; everything else is frozen.

    Attributes:
        model: the exported model whose decoder goes on learning.
        fine: the first scenes of ``scenes`` once more, rendered at twice the size.
        own: share of the batch that is generated.
        patterns: share of the batch that shows dead leaves.
        texture_weight: weight of the local energy of texture, see :func:`engine.training.losses.texture_loss`.
        grid_weight: weight of what repeats with the grid of features, see :func:`engine.training.losses.grid_loss`.
        fine_weight: weight of the fine picture's errors beside the plain one's.
        fine_only: only the head that draws the fine picture learns; the plain one stays as it is.
    """

    loop: LoopConfig = LoopConfig(run="runs/decoder", batch=12, learning_rate=4e-3)
    scenes: SceneConfig = SceneConfig()
    fine: SceneConfig = SceneConfig(folder="data/fine", scenes=130, views=4, height=512, width=896)
    model: str = "assets/models/embedded"
    crop_height: int = 128
    crop_width: int = 128
    max_sources: int = 3
    own: float = 0.5
    patterns: float = 0.125
    latent_noise: float = 0.03
    gradient_weight: float = 0.1
    mse_weight: float = 5.0
    texture_weight: float = 0.1
    grid_weight: float = 200.0
    fine_weight: float = 1.0
    fine_only: bool = False


@dataclass(frozen=True)
class FinishConfig:
    """What finished pictures are trained for, see :class:`engine.training.finish.FinishLoss`.

    Attributes:
        texture_weight: weight of the local energy of texture, see :func:`engine.training.losses.texture_loss`.
        feature_weight: the same for what the encoder sees, beside that; 0 leaves it out.
        adversarial: how hard the critic pulls, see :class:`engine.training.adversarial.Adversary`; 0 is none.
        adversarial_from: share of the training after which the critic begins to learn.
    """

    texture_weight: float = 0.1
    feature_weight: float = 1.0
    adversarial: float = 0.8
    adversarial_from: float = 0.08


@dataclass(frozen=True)
class DetailTraining:
    """The detail stage: what the denoiser imagines of memories, finished; everything else is frozen.

    Attributes:
        model: the exported model whose imagination is finished.
        crop_cells: side of a crop, in cells.
        pool: views kept to cut crops from; one is renewed every ``renew_steps``. first_views: of them before training
            begins.
        own_memory: share of views whose memory a flight has written: the model's own, finished output.
        plain, fine, fine_share: as for :class:`ReadoutTraining`; then it is also measured on such scenes.
        start_from: a weight file to begin with; "" begins anew.
    """

    loop: LoopConfig = LoopConfig(run="runs/detail", batch=12, learning_rate=1e-2)
    scenes: SceneConfig = SceneConfig()
    finish: FinishConfig = FinishConfig()
    model: str = "assets/models/embedded"
    max_sources: int = 3
    crop_cells: int = 16
    pool: int = 384
    first_views: int = 48
    renew_steps: int = 3
    own_memory: float = 0.5
    plain: str = ""
    fine: str = ""
    fine_share: float = 0.6
    start_from: str = ""


@dataclass(frozen=True)
class FlightTraining:
    """The flight stage: denoiser and detail of an exported model together, most of all on what flights of their own
    leave in the memory; everything else is frozen.

    Attributes:
        loop: its batch counts views.
        model: the exported model, with detail, that goes on learning.
        crops, crop_cells: how many crops of a batch are looked at as pictures, and their side.
        pool, first_views, renew_steps, own_memory, plain, fine, fine_share: as for :class:`DetailTraining`.
        pure_noise: share of views at t = 0, where a single step is all; the pictures of the others are not looked at.
        covered_weight, invented_weight, depth_weight: as for :class:`DenoiserTraining`.
        picture_weight: weight of the pictures beside the latents.
        through: share of the pictures' gradient that goes on from detail into the denoiser, where it draws.
        workers: processes that make the views, each on a core of its own, for a device that learns faster than that; 0
            makes them in between. Then ``renew_steps`` is of no account.
        only_biome: nothing learns but what is this biome's own, so that all other worlds stay as they are; "" is
            everything. rank: of its updates, see :mod:`engine.models.embedded.adapter`; 0 is the denoiser's row.
    """

    loop: LoopConfig = LoopConfig(run="runs/flights", batch=4, learning_rate=4e-3)
    scenes: SceneConfig = SceneConfig()
    finish: FinishConfig = FinishConfig()
    model: str = "assets/models/embedded"
    max_sources: int = 3
    crops: int = 10
    crop_cells: int = 16
    pool: int = 256
    first_views: int = 48
    renew_steps: int = 1
    own_memory: float = 0.65
    plain: str = ""
    fine: str = ""
    fine_share: float = 0.6
    pure_noise: float = 0.75
    covered_weight: float = 5.0
    invented_weight: float = 1.0
    depth_weight: float = 1.0
    picture_weight: float = 1.0
    through: float = 0.3
    workers: int = 0
    only_biome: str = ""
    rank: int = 0


@dataclass(frozen=True)
class PairTraining:
    """A network from latents to latents that learns on an exported model's places; everything else is frozen.

    Attributes:
        model: the exported model with its places.
        width: of what lies between its convolutions. crop_cells: side of a crop.
    """

    loop: LoopConfig
    model: str = "assets/models/embedded"
    width: int = 48
    crop_cells: int = 32


@dataclass(frozen=True)
class MirrorTraining(PairTraining):
    """The network that turns places over."""

    loop: LoopConfig = LoopConfig(run="runs/mirror", minutes=8.0, batch=16, learning_rate=2e-2, weight_decay=0.0)


@dataclass(frozen=True)
class HalvingTraining(PairTraining):
    """The network that halves rooms."""

    loop: LoopConfig = LoopConfig(run="runs/halving", minutes=8.0, batch=16, learning_rate=2e-2, weight_decay=0.0)


@dataclass(frozen=True)
class KindTraining:
    """The network that tells kinds of rooms from what one sees of them through a door.

    Attributes:
        model: the exported model with its places; all of it is frozen.
        folder: of what is seen; there are as many ``worlds`` in it, what is missing is rendered, from ``seed`` on.
        views: that are taken of a world. height, width: of a frame.
        hidden: width of the network. cells: the most of a view that count in training.
    """

    loop: LoopConfig = LoopConfig(run="runs/kinds", minutes=4.0, batch=64, learning_rate=4e-3, weight_decay=1e-2)
    model: str = "assets/models/embedded"
    folder: str = "data/kinds"
    worlds: int = 300
    seed: int = 770_000
    views: int = 6
    height: int = 256
    width: int = 448
    hidden: int = 64
    cells: int = 128


@dataclass(frozen=True)
class ExportConfig:
    """The runs whose best weights make up a model.

    Attributes:
        model: "" puts a model together from the first three runs; or an exported model, of which a copy gets the
            better weights of the runs named below, "" being none of them.
        new_readout_run: of a readout that learned later. decoder_run: of the autoencoder whose decoder went on
            learning. detail_run: of the network that finishes what the model imagines.
        flight_run: of denoiser and detail together. flight_share: how far the denoiser's weights go from the model's to
            that run's; halfway can be better than either end (Wortsman et al. 2022). Detail goes all the way.
        adapter_run: of flights that learned one biome, by updates. mirror_run: of what turns places over.
        halving_run: of what halves rooms.
        kinds_run: of what tells kinds of rooms.
        detail_bound: what detail may add, see :class:`engine.models.embedded.config.DetailConfig`; less than in
            training keeps long flights free of sparks.
        places: which of the rendered places the model carries. new_places: a copy gets them too; with ``keep_places``
            beside its own, in a file of their own.
        new_biomes: that a copy learns of, each with a known one that it is like at first: `river=meadow`.
        default_steps: denoising steps a frame unless asked for others.
    """

    scenes: SceneConfig = SceneConfig()
    autoencoder_run: str = "runs/autoencoder"
    readout_run: str = "runs/readout"
    denoiser_run: str = "runs/denoiser"
    model: str = ""
    new_readout_run: str = ""
    decoder_run: str = ""
    detail_run: str = ""
    flight_run: str = ""
    flight_share: float = 1.0
    adapter_run: str = ""
    mirror_run: str = ""
    halving_run: str = ""
    kinds_run: str = ""
    detail_bound: float = 0.5
    places: PlacesConfig = PlacesConfig()
    new_places: bool = False
    keep_places: bool = False
    new_biomes: str = ""
    default_steps: int = 1


C = TypeVar("C")


def configure(default: C, path: Path | None, overrides: dict[str, Any] | None = None) -> C:
    """``default`` with the values of a TOML file and then dotted ``overrides`` (``{"loop.minutes": 3}``) put in.

    Raises:
        InputError: the file is missing or malformed, or a name or a type does not fit.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"The training configuration {path} does not exist; give a TOML file.") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(
                f"The training configuration {path} is not readable TOML ({error}); mend that line."
            ) from error
    for name, value in (overrides or {}).items():
        target = values
        *parents, leaf = name.split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = value
    return _replace(default, values, where="")


def _replace(default: C, values: dict[str, Any], where: str) -> C:
    fields = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            raise InputError(f"Training knows no setting {where}{name}; the names are {', '.join(fields)}.")
        current = fields[name]
        if dataclasses.is_dataclass(current):
            if not isinstance(value, dict):
                raise InputError(f"{where}{name} is a table of settings; write [{where}{name}] in the file.")
            changes[name] = _replace(current, value, f"{where}{name}.")
        elif isinstance(current, float) and isinstance(value, (int, float)) and not isinstance(value, bool):
            changes[name] = float(value)
        elif type(value) is type(current):
            changes[name] = value
        else:
            raise InputError(
                f"{where}{name} must be a {type(current).__name__}; {value!r} is a {type(value).__name__}."
            )
    return dataclasses.replace(default, **changes)  # type: ignore[type-var]
