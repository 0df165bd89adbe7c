"""The families of video transformers: called as the pipelines of diffusers call them, and trained on the right loss."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from worldloop.core import InputError
from worldloop.training.diffusers.families import Prompt
from worldloop.training.diffusers.folder import open_folder
from worldloop.training.diffusers.prompts import ImageEncoder

from tiny_diffusers import CAPTION, CPU, NAMES, clips_of, load, noise, pictures, prompt_of

pytestmark = pytest.mark.usefixtures("one_thread")


class Recorder:
    """In place of a transformer's forward: keeps what it is called with and answers with zeros."""

    def __init__(self, transformer) -> None:
        self.calls: list[dict] = []
        self._channels = transformer.config.out_channels
        transformer.forward = self

    def __call__(self, **given):
        self.calls.append(given)
        hidden = given["hidden_states"]
        axis = {"LTX": 2, "Cog": 2}.get(self.kind, 1)
        return (torch.zeros_like(hidden.narrow(axis, 0, min(self._channels, hidden.shape[axis]))),)

    kind = ""


def pipeline_call(kind, folder, model, monkeypatch):
    """What the real pipeline of image to video gives its transformer in the second of three steps."""
    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
    from PIL import Image

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    names = {
        "wan": "WanImageToVideoPipeline",
        "wan-i2v": "WanImageToVideoPipeline",
        "ltx": "LTXImageToVideoPipeline",
        "cogvideox-i2v": "CogVideoXImageToVideoPipeline",
        "cosmos": "Cosmos2VideoToWorldPipeline",
    }
    cls = getattr(diffusers, names[kind])
    parts = {"transformer": model.transformer, "vae": model.vae}
    schedulers = {
        "wan": "UniPCMultistepScheduler",
        "wan-i2v": "UniPCMultistepScheduler",
        "cogvideox-i2v": "CogVideoXDDIMScheduler",
    }
    scheduler = getattr(diffusers, schedulers.get(kind, "FlowMatchEulerDiscreteScheduler"))
    parts["scheduler"] = scheduler.from_pretrained(folder / "scheduler")
    if kind.startswith("wan"):
        module, plain = sys.modules[cls.__module__], SimpleNamespace(fix_text=str)
        monkeypatch.setattr(module, "ftfy", plain, raising=False)
        parts |= {"image_encoder": None, "image_processor": None, "expand_timesteps": kind == "wan"}
        monkeypatch.setattr(cls, "encode_image", lambda self, image, device=None: torch.ones(1, 5, 16))
    if kind == "cosmos":
        guard = torch.nn.Module()
        guard.check_text_safety, guard.device, guard.dtype = lambda text: True, CPU, torch.float32
        parts["safety_checker"] = guard
    from transformers import AutoTokenizer, T5EncoderModel, UMT5EncoderModel

    encoder = UMT5EncoderModel if kind.startswith("wan") else T5EncoderModel
    parts["text_encoder"] = encoder.from_pretrained(folder / "text_encoder")
    parts["tokenizer"] = AutoTokenizer.from_pretrained(folder / "tokenizer")
    recorder = Recorder(model.transformer)
    recorder.kind = "LTX" if kind == "ltx" else "Cog" if "cog" in kind else ""
    pipe = cls(**parts)
    pipe.set_progress_bar_config(disable=True)
    image = Image.fromarray(pictures()[0])
    pipe(image=image, prompt=CAPTION, height=64, width=64, num_frames=9, num_inference_steps=3,
         guidance_scale=1.0, generator=noise(), output_type="latent",
         max_sequence_length=model.family.tokens)  # fmt: skip
    return recorder


@pytest.mark.parametrize("kind", [k for k in NAMES if k != "cogvideox"])
def test_transformers_are_called_as_the_pipelines_of_diffusers_call_them(kind, folders, monkeypatch):
    model = load(folders[kind])
    recorder = pipeline_call(kind, folders[kind], model, monkeypatch)
    theirs = recorder.calls[1]
    clips = clips_of(model, image=False)
    if kind == "wan-i2v":
        clips = replace(clips, image=torch.ones(1, 5, 16))
    hidden, t = theirs["hidden_states"], theirs["timestep"].flatten()[-1:]
    family, recorder.calls = model.family, []
    if kind in ("wan", "wan-i2v"):
        family.velocity(model.transformer, hidden[:, :16], t / 1000, clips, prompt_of(model))
    elif kind == "ltx":
        noisy = hidden.transpose(1, 2).unflatten(2, clips.video.shape[2:])
        family.velocity(model.transformer, noisy, t / 1000, clips, prompt_of(model))
    elif kind == "cogvideox-i2v":
        family.predicted(model.transformer, hidden[:, :, :8].transpose(1, 2), t, clips, prompt_of(model))
    else:
        # Where the present stands, what the transformer reads does not tell the noisy latents.
        family.denoised(model.transformer, hidden / (1 - t), t, clips, prompt_of(model))
        ours = recorder.calls[0]
        assert torch.equal(ours["condition_mask"][:, :1], theirs["condition_mask"])
        assert not ours["condition_mask"][:, 1:].any() and not theirs["padding_mask"].any()
        theirs = {k: v for k, v in theirs.items() if not k.endswith("mask")}
    ours = recorder.calls[0]
    if kind == "ltx":
        # Nobody sees what the masked tokens are.
        for call in (ours, theirs):
            call["encoder_hidden_states"] = call["encoder_hidden_states"][theirs["encoder_attention_mask"]]
    for name, value in theirs.items():
        if isinstance(value, torch.Tensor):
            assert ours[name].shape == value.shape, name
            torch.testing.assert_close(
                ours[name].to(value.dtype), value, rtol=1e-5, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}"
            )
        elif name == "image_rotary_emb" and value is not None:
            assert all(torch.equal(a, b) for a, b in zip(ours[name], value))
        elif name != "attention_kwargs":
            assert ours.get(name) == value, name


def test_images_are_prepared_as_clip_prepares_them(folders):
    from PIL import Image
    from transformers import CLIPVisionModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    picture = pictures(side=50)[0][:40]
    prepare = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    pixels = prepare(Image.fromarray(picture), return_tensors="pt").pixel_values
    model = CLIPVisionModel.from_pretrained(folders["wan-i2v"] / "image_encoder").eval()
    ours = ImageEncoder(open_folder(folders["wan-i2v"]), CPU)
    seen = ours(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1)
    with torch.no_grad():
        theirs = model(pixels, output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(seen, theirs, atol=0.02, rtol=0.02)


def test_rotary_positions_of_cogvideox_lie_where_the_pipeline_puts_them():
    pytest.importorskip("diffusers")
    from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

    from worldloop.training.diffusers.cogvideox import _inside

    for rows, columns in [(4, 4), (30, 45), (4, 30), (45, 30), (7, 9)]:
        assert _inside(rows, columns, (30, 45)) == get_resize_crop_region_for_grid((rows, columns), 45, 30)


def test_cosmos_computes_the_same_without_torchvision(folders, monkeypatch):
    from diffusers.models.transformers import transformer_cosmos

    class Transforms:
        class InterpolationMode:
            NEAREST = "nearest"

        class functional:  # noqa: N801
            @staticmethod
            def resize(mask, size, interpolation):
                return torch.nn.functional.interpolate(mask, size, mode=interpolation)

    model = load(folders["cosmos"])
    clips, prompt, seen = clips_of(model), prompt_of(model), {}
    model.transformer.register_forward_hook(
        lambda _, args, kwargs, out: seen.update(given=kwargs, out=out), with_kwargs=True
    )
    with torch.no_grad():
        model.family.loss(model.transformer, clips, prompt, noise())
        given, ours = seen["given"], seen["out"][0]
        monkeypatch.setattr(transformer_cosmos, "transforms", Transforms, raising=False)
        model.transformer.register_to_config(concat_padding_mask=True)
        mask = {"condition_mask": given["condition_mask"][:, :1], "padding_mask": torch.zeros(1, 1, 64, 64)}
        theirs = model.transformer(**{**given, **mask})[0]
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", NAMES)
def test_the_present_does_not_count_in_the_loss(kind, folders):
    model = load(folders[kind])
    clips, prompt = clips_of(model), prompt_of(model)
    axis = {"ltx": 1, "cogvideox": 1, "cogvideox-i2v": 1}.get(kind, 2)
    each = clips.video[0, 0, 0].numel() if kind == "ltx" else 1

    def loss(frame: int | None) -> torch.Tensor:
        def spoil(module, args, kwargs, out):
            spoilt = out[0].clone()
            if frame is not None:
                spoilt.narrow(axis, frame * each, each).add_(3.0)
            return (spoilt,)

        hook = model.transformer.register_forward_hook(spoil, with_kwargs=True)
        with torch.no_grad():
            value = model.family.loss(model.transformer, clips, prompt, noise())
        hook.remove()
        return value

    plain = loss(None)
    assert plain.shape == (1,) and torch.isfinite(plain).all()
    assert torch.equal(loss(0), plain)
    assert loss(1) > plain + 0.5


@pytest.mark.parametrize("kind", NAMES)
def test_a_transformer_that_knows_the_answer_has_no_loss(kind, folders):
    model = load(folders[kind])
    clips, family = clips_of(model), model.family
    x0, transformer = clips.video, None

    if kind == "cosmos":

        def transformer(hidden_states, timestep, **rest):
            # The network's own output is the velocity between noise and data.
            return ((hidden_states - x0) / timestep,)

    elif kind.startswith("cogvideox"):

        def answer(transformer, noisy, steps, clips, prompt):
            a = family._alphas[steps].view(-1, 1, 1, 1, 1)
            eps = (noisy - a.sqrt() * x0) / (1 - a).sqrt()
            return a.sqrt() * eps - (1 - a).sqrt() * x0

        family.predicted = answer
    else:

        def flow(transformer, noisy, t, clips, prompt):
            return (noisy - x0) / t.view(-1, 1, 1, 1, 1)

        family.velocity = flow
    losses = [
        float(family.loss(transformer, clips, Prompt(torch.zeros(1, 8, 16)), noise(s))) for s in range(5)
    ]
    assert max(losses) < 1e-5
    wrong = replace(clips, video=x0 + 1)
    assert float(family.loss(transformer, wrong, Prompt(torch.zeros(1, 8, 16)), noise(1))) > 1e-2


def test_noise_levels_follow_the_scheduler_and_the_expert(folders, tmp_path):
    wan, ltx = (load(folders[k]).family for k in ("wan", "ltx"))
    assert wan.shift == 3.0 and wan.levels == (0.0, 1.0)
    tokens = torch.zeros(1, 8, 2, 8, 16)
    mu = 0.5 + 0.65 * (256 - 256) / (4096 - 256)
    assert ltx.shift_of(tokens) == pytest.approx(np.exp(mu))
    shutil.copytree(folders["wan"], tmp_path / "two")
    shutil.copytree(folders["wan"] / "transformer", tmp_path / "two" / "transformer_2")
    index = {"transformer_2": ["diffusers", "WanTransformer3DModel"], "boundary_ratio": 0.875}
    (tmp_path / "two" / "model_index.json").write_text(json.dumps(index))
    high, low = (load(f).family for f in (tmp_path / "two", tmp_path / "two" / "transformer_2"))
    assert high.levels == (0.875, 1.0) and low.levels == (0.0, 0.875)


def test_frames_and_sizes_fit_the_family(folders):
    wan, ltx = (load(folders[k]).family for k in ("wan", "ltx"))
    assert wan.fitting_frames(None) == 8 and wan.fitting_frames(4) == 4
    wan.frame_multiple = 2
    assert wan.fitting_frames(None) == 12
    assert wan.fitting_size(128, None) == (128, 128) and ltx.fitting_size(100, None) == (96, 96)
    with pytest.raises(InputError, match="8, 16, 24"):
        ltx.fitting_frames(4)
    with pytest.raises(InputError, match="multiples of 32"):
        ltx.fitting_size(128, (64, 100))
