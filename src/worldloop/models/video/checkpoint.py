"""One safetensors file for a whole video model: autoencoder, backbone, heads, and what it was trained for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from worldloop.core import InputError, Vocabulary
from worldloop.models.video.adapters import adapter_state, merge_adapter, plain_state
from worldloop.models.video.backbone import BackboneConfig, VideoBackbone
from worldloop.models.video.conditioning import ConditioningConfig
from worldloop.models.video.sampler import SamplerConfig
from worldloop.models.video.vae import VAEConfig, VideoVAE

MODEL, ADAPTER = "worldloop-video-1", "worldloop-video-adapter-2"
"""Values of the entry `format` in the files' metadata."""
CONTROLS = ("none", "text", "code", "camera", "vector")
UNFIT = (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError)
"""What constructors raise for descriptions and tensors that do not go together."""
PACKAGED = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class VideoSpec:
    """What a video model was trained for. JSON-serialisable throughout."""

    name: str
    control: str
    """`none`, `text`, `code`, `camera` or `vector`."""
    actions: Mapping[str, tuple[float, float, float]]
    """Known actions in the order of their codes (1, 2, ...): forward m, left m and turn deg. Empty where it knows
    commands instead."""
    summary: str = "a latent video diffusion transformer"
    history: int = 1
    """Context frames, the present one included."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """Recommended settings."""
    training_scenes: tuple[str, ...] = ()
    notes: str = ""
    licence: str = "Apache-2.0"
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else a recipe wants to remember."""
    vocabulary: Vocabulary | None = None
    """The box of commands that it knows; None where it knows named actions."""

    def __post_init__(self) -> None:
        if self.control not in CONTROLS:
            raise InputError(f"video: control is one of {', '.join(CONTROLS)}, got {self.control!r}")
        if bool(self.actions) == (self.vocabulary is not None) or self.history < 1:
            raise InputError(
                "video: a model knows named actions or a box of commands, and reads at least one frame"
            )
        if self.vocabulary is not None and self.vocabulary.discrete:
            raise InputError(
                "video: the vocabulary is a box of commands; named actions are listed in `actions`"
            )
        if self.control == "vector" and self.vocabulary is None:
            raise InputError("video: control 'vector' needs the box of commands that it was trained on")
        object.__setattr__(self, "actions", {n: tuple(map(float, m)) for n, m in self.actions.items()})
        object.__setattr__(self, "training_scenes", tuple(self.training_scenes))
        if any(len(m) != 3 for m in self.actions.values()):
            raise InputError("video: an action is (forward m, left m, turn deg)")

    def code(self, action: str) -> int:
        """The code of an action, 1 or more; KeyError for an unknown one."""
        return {name: i + 1 for i, name in enumerate(self.actions)}[action]


@dataclass(eq=False)
class VideoCheckpoint:
    """A video model in memory."""

    vae: VideoVAE
    backbone: VideoBackbone
    spec: VideoSpec
    weights_hash: str = ""

    def __post_init__(self) -> None:
        c, heads = self.backbone.config, self.backbone.config.conditioning
        control, codes = self.spec.control, len(self.spec.actions)
        if c.latent_channels != self.vae.config.latent_channels:
            raise InputError("autoencoder and backbone disagree on the number of latent channels")
        box = self.spec.vocabulary
        readable = {
            "text": heads.text_buckets > 0,
            "code": heads.codes == codes,
            "camera": heads.camera,
            "vector": box is not None and heads.vectors == len(box.fields),
        }
        if not readable.get(control, True):
            kinds = f"{codes} actions" if box is None else f"commands of {len(box.fields)} numbers"
            raise InputError(f"control {control!r} with {kinds} needs a head that the backbone lacks")


def save_checkpoint(path: str | Path, checkpoint: VideoCheckpoint, half: bool = False) -> str:
    """Write a model, active adapters merged; returns the hash of the file.

    `half` stores float16. InputError for weights that are not finite (in float16, where asked).
    """
    parts = {"vae": checkpoint.vae.state_dict(), "backbone": plain_state(checkpoint.backbone)}
    tensors = {f"{part}.{name}": t for part, state in parts.items() for name, t in state.items()}
    config = {
        "vae": asdict(checkpoint.vae.config),
        "backbone": asdict(checkpoint.backbone.config),
        "spec": _described(checkpoint.spec),
    }
    return _write(Path(path), tensors, MODEL, config, half)


def save_adapter(path: str | Path, checkpoint: VideoCheckpoint, base_hash: str, half: bool = False) -> str:
    """Write what post-training has changed: active adapters, control heads, description; returns the file's hash.

    `base_hash` names the checkpoint file they belong to. See `adapter_state`.
    """
    backbone = checkpoint.backbone
    tensors = {f"layers.{k}": t for k, t in adapter_state(backbone).items()}
    tensors |= {f"heads.{k}": t for k, t in backbone.conditioner.state_dict().items()}
    config = {
        "base": base_hash,
        "conditioning": asdict(backbone.config.conditioning),
        "spec": _described(checkpoint.spec),
    }
    return _write(Path(path), tensors, ADAPTER, config, half)


def load_checkpoint(path: str | Path, adapter: str | Path | None = None) -> VideoCheckpoint:
    """A model in float32 on the CPU, in evaluation mode; an adapter file is merged into it.

    `path` is a file or the name of packaged weights. Where it is an adapter itself, its base is looked for in the
    same folder. InputError for missing, damaged and foreign files, and for an adapter of another model.
    """
    path = find_weights(path)
    if adapter is None and _format(path) == ADAPTER:
        path, adapter = _base_of(path), path
    tensors, config, weights_hash = _read(path, MODEL)
    try:
        checkpoint = VideoCheckpoint(
            VideoVAE(VAEConfig(**config["vae"])),
            VideoBackbone(_backbone_config(config["backbone"])),
            _spec(config["spec"]),
            weights_hash,
        )
        for name, part in (("vae", checkpoint.vae), ("backbone", checkpoint.backbone)):
            part.load_state_dict(_part(tensors, name), strict=True)
            part.eval()
    except UNFIT as error:
        raise InputError(f"{path}: the weights do not fit their description: {error}") from error
    if adapter is not None:
        return _adapted(checkpoint, Path(adapter), path)
    return checkpoint


def _adapted(checkpoint: VideoCheckpoint, adapter: Path, base: Path) -> VideoCheckpoint:
    tensors, config, change_hash = _read(adapter, ADAPTER)
    if config.get("base") != checkpoint.weights_hash:
        raise InputError(f"{adapter} belongs to other weights than {base}")
    try:
        backbone = checkpoint.backbone.attach(ConditioningConfig(**config["conditioning"])).eval()
        backbone.conditioner.load_state_dict(_part(tensors, "heads"), strict=True)
        made = replace(
            checkpoint, spec=_spec(config["spec"]), weights_hash=f"{checkpoint.weights_hash}+{change_hash}"
        )
    except UNFIT as error:
        raise InputError(f"{adapter}: the adapter does not fit its description: {error}") from error
    merge_adapter(backbone, _part(tensors, "layers"))
    return made


def _base_of(adapter: Path) -> Path:
    """The checkpoint beside an adapter that it was made for."""
    wanted = _read(adapter, ADAPTER)[1].get("base")
    for path in sorted(adapter.parent.glob("*.safetensors")):
        if _format(path) == MODEL and _hash(path) == wanted:
            return path
    raise InputError(
        f"{adapter} is an adapter, and its base (hash {wanted}) is not in the same folder; copy it there, or load "
        "the base and pass this file as its adapter"
    )


def find_weights(weights: str | Path) -> Path:
    """The file behind a path or a packaged name; InputError with the known names if there is none."""
    path = Path(weights)
    if path.is_file():
        return path
    known = sorted(p.stem for p in PACKAGED.glob("*.safetensors"))
    if str(weights) in known:
        return PACKAGED / f"{weights}.safetensors"
    raise InputError(f"no weights at {weights}; packaged: {', '.join(known) or '(none)'}")


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k[len(name) + 1 :]: t for k, t in tensors.items() if k.startswith(f"{name}.")}


def _described(spec: VideoSpec) -> dict[str, Any]:
    """JSON-ready; a model of named actions has no entry `vocabulary`."""
    out = asdict(spec)
    del out["vocabulary"]
    if (box := spec.vocabulary) is not None:
        out["vocabulary"] = {n: getattr(box, n) for n in ("name", "fields", "low", "high")}
    return out


def _spec(values: Mapping[str, Any]) -> VideoSpec:
    made = {**values, "sampler": SamplerConfig(**values["sampler"])}
    if (box := values.get("vocabulary")) is not None:
        low, high = (tuple(map(float, box[n])) for n in ("low", "high"))
        made["vocabulary"] = Vocabulary(str(box["name"]), fields=tuple(box["fields"]), low=low, high=high)
    return VideoSpec(**made)


def _format(path: Path) -> str | None:
    """What kind of file it says it is; None for one that says nothing."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return (file.metadata() or {}).get("format")
    except (SafetensorError, OSError):
        return None


def _backbone_config(values: Mapping[str, Any]) -> BackboneConfig:
    return BackboneConfig(**{**values, "conditioning": ConditioningConfig(**values["conditioning"])})


def _write(path: Path, tensors: Mapping[str, Tensor], kind: str, config: Any, half: bool) -> str:
    out = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu", torch.float16 if half else torch.float32)
        if not tensor.isfinite().all():
            raise InputError(f"{name} is not finite{' in float16' if half else ''}; not saved")
        out[name] = tensor.clone(memory_format=torch.contiguous_format)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".part")
    fresh.write_bytes(_in_order(save(out, {"format": kind, "config": json.dumps(config)})))
    fresh.replace(path)
    return _hash(path)


def _in_order(data: bytes) -> bytes:
    """The same file with its metadata sorted: safetensors writes them in random order, which changes the hash."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != kind:
                raise InputError(f"{path} is not a {kind} file (format {metadata.get('format')!r})")
            tensors = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118 (not a mapping)
        config = json.loads(metadata["config"])
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        raise InputError(f"{path} is not a readable weight file: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: the description is not a JSON object")
    bad = [k for k, t in tensors.items() if not t.isfinite().all()]
    if bad:
        raise InputError(f"{path}: {bad[0]} holds values that are not finite")
    return tensors, config, _hash(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
