"""Looking at what films and pictures need: codecs, and the model's files."""

from __future__ import annotations

from pathlib import Path

from engine.errors import MirageError
from mirage_app.doctor.finding import Finding, State

ENCODERS = {"mp4": "libx264", "webm": "libvpx-vp9", "gif": "gif", "png": "png"}


def codecs() -> Finding:
    """The encoders behind each kind of film."""
    try:
        import av
    except Exception as error:
        return Finding("Codecs", State.MISSING, f"PyAV cannot be imported ({error})", "pip install av")
    absent = [f"{kind} ({name})" for kind, name in ENCODERS.items() if not _encodes(av, name)]
    present = ", ".join(kind for kind, name in ENCODERS.items() if _encodes(av, name))
    if absent:
        return Finding(
            "Codecs", State.MISSING, f"without {', '.join(absent)}", "Reinstall PyAV: pip install --force av"
        )
    return Finding("Codecs", State.OK, f"{present} by PyAV {av.__version__}")


def _encodes(av: object, name: str) -> bool:
    from av.codec import Codec

    try:
        Codec(name, "w")
    except ValueError:
        return False
    return True


def model(folder: Path | None = None) -> list[Finding]:
    """The model's files with their checksums, and whether they load."""
    from engine.models import shipped_model_dir
    from engine.models.embedded import EmbeddedModel, weights

    where = folder or shipped_model_dir()
    findings = []
    for path in weights.model_files(where):
        if path.is_file():
            found = f"{path.stat().st_size / 2**20:.1f} MiB, sha256 {weights.file_checksum(path)[:16]}"
            findings.append(Finding(path.name, State.OK, found))
        else:
            advice = "Check Mirage out again, or make it with `mirage train`."
            findings.append(Finding(path.name, State.MISSING, f"not at {path}", advice))
    if any(finding.state is State.MISSING for finding in findings):
        return findings
    try:
        loaded = EmbeddedModel.load(where)
    except MirageError as error:
        return [*findings, Finding("Model", State.MISSING, str(error), "Check Mirage out again.")]
    height, width = loaded.spec.image_size
    found = (
        f"{loaded.spec.name}, {width}x{height} pixels, {loaded.spec.default_steps} steps, {loaded.spec.checksum[:16]}"
    )
    return [*findings, Finding("Model", State.OK, found)]
