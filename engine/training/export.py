"""Putting a model folder together from what the stages made: a new one, or a better copy of another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.atomic import atomic_write
from engine.errors import InputError
from engine.models.embedded.adapter import learned_updates
from engine.models.embedded.autoencoder import Autoencoder
from engine.models.embedded.config import READOUT, DenoiserConfig, DetailConfig, EmbeddedConfig
from engine.models.embedded.model import ADAPTED, EmbeddedModel
from engine.models.embedded.weights import (
    CONFIG_NAME,
    HALVING,
    KINDS,
    MIRROR,
    adapter_path,
    adapter_paths,
    load_network,
    load_tensors,
    model_files,
    of_network,
    places_path,
    places_paths,
    save_config,
    save_places,
    save_tensors,
    weight_path,
)
from engine.training.config import ExportConfig
from engine.training.places import pack_places
from engine.training.recall import LatentScenes, trained_autoencoder, trained_weights
from engine.training.scenes import SceneStore
from engine.worlds import BIOMES

EMBEDDING = "biome.weight"
"""The denoiser's rows (biomes + 1, E), the first of no biome."""


def export(config: ExportConfig, folder: Path) -> EmbeddedModel:
    """Assemble the best weights of the runs into a model folder, their figures and settings beside them; or give a
    model that was assembled what later stages made of it.

    Adapters are left out of a model whose kernels go on from where they learned, and kinds of rooms of one that gets
    other rooms.

    Raises:
        InputError: a run has no trained weights yet, or none is named that a model could be given.
    """
    if config.model:
        return _improve(config, folder)
    runs = {"autoencoder": config.autoencoder_run, "readout": config.readout_run, "denoiser": config.denoiser_run}
    weights = {name: trained_weights(name, run) for name, run in runs.items()}
    autoencoder, path = trained_autoencoder(config.autoencoder_run, torch.device("cpu"))
    mean, std = LatentScenes(SceneStore(config.scenes.folder), autoencoder, path, torch.device("cpu")).statistics()
    embedded = EmbeddedConfig(
        readout=READOUT,
        denoiser=DenoiserConfig(biomes=BIOMES),
        latents_mean=tuple(round(v, 5) for v in mean.tolist()),
        latents_std=tuple(round(v, 5) for v in std.tolist()),
        image_size=(config.scenes.height, config.scenes.width),
        default_steps=config.default_steps,
    )
    model = EmbeddedModel(embedded, checksum="")
    for name, module in model.networks().items():
        load_network(module, weights[name])
    if config.places.places:
        model.carry(pack_places(config.places, model.autoencoder, *_statistics(embedded)))
    model.save(folder)
    _collect(runs, folder)
    return EmbeddedModel.load(folder)


def _statistics(config: EmbeddedConfig) -> tuple[Tensor, Tensor]:
    """(C,) mean and standard deviation of the latents, as the model's configuration has them."""
    return torch.tensor(config.latents_mean), torch.tensor(config.latents_std)


def _improve(config: ExportConfig, folder: Path) -> EmbeddedModel:
    """The model ``config.model`` with the best weights of the later runs; its other files are copied as they are."""
    base = Path(config.model)
    runs = {
        "readout": config.new_readout_run,
        "decoder": config.decoder_run,
        "detail": config.detail_run,
        "flights": config.flight_run,
        MIRROR: config.mirror_run,
        HALVING: config.halving_run,
        KINDS: config.kinds_run,
    }
    runs = {name: run for name, run in runs.items() if run}
    if config.adapter_run:
        runs[adapter_path(folder, _biome_of(config.adapter_run)).stem] = config.adapter_run
    if not runs and not config.new_places and not config.new_biomes:
        raise InputError(
            f"Nothing is named that the model {base} could be given; set new_readout_run, decoder_run, detail_run, "
            "flight_run, adapter_run, mirror_run, halving_run, kinds_run, new_places or new_biomes."
        )
    found = {name: load_file(trained_weights(name, run)) for name, run in runs.items()}
    embedded = EmbeddedConfig.read(base / CONFIG_NAME)
    better: dict[str, dict[str, Tensor]] = {}
    outgrown = False  # adapters are updates of the kernels that they learned beside
    if "decoder" in found:
        better["autoencoder"] = found["decoder"]  # the whole of it, its encoder unchanged
    better |= {name: found[name] for name in ("readout", "detail", MIRROR, HALVING, KINDS) if name in found}
    for name in ADAPTED if "flights" in found else ():
        before = _in_halves(load_tensors(weight_path(base, name)))
        share = config.flight_share if name == "denoiser" else 1.0
        better[name] = _between(before, of_network(found["flights"], name), share)
        outgrown |= any(
            not torch.equal(before[key], made.half()) for key, made in better[name].items() if key != EMBEDDING
        )
    better |= {name: learned_updates(tensors) for name, tensors in found.items() if name.startswith("adapter-")}
    if config.new_biomes:
        denoiser = better.get("denoiser") or load_tensors(weight_path(base, "denoiser"))
        names, better["denoiser"] = _with_biomes(embedded.denoiser.biomes, denoiser, config.new_biomes)
        embedded = replace(embedded, denoiser=replace(embedded.denoiser, biomes=names))
    if "readout" in better:
        embedded = replace(embedded, readout=READOUT)
    if "detail" in better:
        embedded = replace(embedded, detail=replace(embedded.detail or DetailConfig(), bound=config.detail_bound))
    folder.mkdir(parents=True, exist_ok=True)
    kept: list[str] = []
    other_rooms = False  # of which kinds that were learned know nothing
    if config.new_places:
        autoencoder = Autoencoder(embedded.autoencoder)
        load_network(autoencoder, weight_path(base, "autoencoder"))
        bank = pack_places(config.places, autoencoder, *_statistics(embedded))
        of = config.places.biomes.replace(",", "-") or "more"
        if config.keep_places:
            bank.save(places_path(folder, of))
        else:
            save_places(bank, folder)
        other_rooms = KINDS not in better and (bool(bank.modules) or not config.keep_places)
        kept = [path.name for path in places_paths(base) if config.keep_places and path != places_path(base, of)]
    made = {CONFIG_NAME, *(weight_path(base, name).name for name in better)}
    made |= {path.name for path in places_paths(base)} - set(kept) if config.new_places else set()
    if other_rooms:
        made.add(weight_path(base, KINDS).name)
        weight_path(folder, KINDS).unlink(missing_ok=True)
    if outgrown:
        made |= {path.name for path in adapter_paths(base).values()}
    for source in model_files(base):
        if source.name not in made and folder.resolve() != base.resolve():
            with atomic_write(folder / source.name) as temporary:
                shutil.copyfile(source, temporary)
    for name, tensors in better.items():
        save_tensors(tensors, weight_path(folder, name))
    for path in adapter_paths(folder).values() if outgrown else ():
        if path.stem not in better:
            path.unlink()
    save_config(embedded, folder)
    _collect(runs, folder, base)
    return EmbeddedModel.load(folder)


def _between(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """A network's weights, ``share`` of the way from some to others.

    Raises:
        InputError: they are another network's.
    """
    if {name: t.shape for name, t in before.items()} != {name: t.shape for name, t in after.items()}:
        raise InputError("The run went on from another model than this; export it with the model that it began with.")
    if share == 1.0:
        return after
    return {name: torch.lerp(before[name].float(), made.float(), share).half() for name, made in after.items()}


def _in_halves(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As runs keep them."""
    return {name: value.half() for name, value in tensors.items()}


def _biome_of(run: str) -> str:
    """The one biome that a run of flights learned."""
    trained_weights("flights", run)
    biome: str = _read_json(Path(run) / "training.json").get("only_biome", "")
    if not biome:
        raise InputError(f"The run {run} learned of all biomes; adapter_run takes one of flights with only_biome.")
    return biome


def _with_biomes(
    known: tuple[str, ...], denoiser: dict[str, Tensor], new: str
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """The biomes that a denoiser knows, and its weights, with ``new`` ones: `name=known name`, separated by commas.

    Raises:
        InputError: one is known already, or is to be like one that is not.
    """
    rows, names = denoiser[EMBEDDING], list(known)
    for pair in new.split(","):
        name, _, like = (part.strip() for part in pair.partition("="))
        if name in names or name not in BIOMES or like not in known:
            raise InputError(
                f"new_biomes takes a new biome like one that the model knows, as in `river=meadow`; got {pair!r}, and "
                f"it knows {', '.join(names)}."
            )
        names.append(name)
        rows = torch.cat([rows, rows[1 + known.index(like)][None]])
    return tuple(names), denoiser | {EMBEDDING: rows}


def _collect(runs: dict[str, str], folder: Path, base: Path | None = None) -> None:
    """Figures and settings of the runs as JSON, beside those that a model ``base`` has of others."""
    for source, target in (("best.json", "metrics.json"), ("training.json", "training.json")):
        collected = _read_json(base / target) if base is not None and (base / target).exists() else {}
        collected |= {name: _read_json(Path(run) / source) for name, run in runs.items()}
        with atomic_write(folder / target) as temporary:
            temporary.write_text(json.dumps(collected, indent=2) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
