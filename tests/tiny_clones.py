"""Stand-ins for clones of research repositories: the module paths, class names and signatures of the real ones, with
tiny networks of our own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import torch
from torch import nn

from worldloop.core import Observation, Query, Vocabulary
from worldloop.models.research.clone import Clone
from worldloop.models.research.diamond import DIAMOND
from worldloop.models.research.dino_wm import DINO_WM
from worldloop.models.research.nwm import NWM

ACTIONS = "NOOP+FIRE+LEFT+RIGHT"
BOX = Vocabulary("push", (), ("x", "y"), (-3.0, -3.0), (3.0, 3.0))


def picture(seed: int, rows: int = 40, columns: int = 40) -> np.ndarray:
    """A smooth random picture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return coarse.repeat(-(-rows // 4), 0).repeat(-(-columns // 4), 1)[:rows, :columns]


def query(plan, seed: int = 1, past: int = 1, actions=(), **extra: np.ndarray) -> Query:
    """A query after `past` different pictures, the last of which has the extras."""
    seen = [Observation(picture(i)) for i in range(past - 1)]
    return Query((*seen, Observation(picture(past - 1), extra=extra)), tuple(actions), plan, seed)


def same(a, b) -> bool:
    """Whether two rollouts show the same, bit for bit."""
    return all(np.array_equal(x.rgb, y.rgb) for x, y in zip(a.frames, b.frames, strict=True))


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return root


def stir(network: nn.Module) -> nn.Module:
    """Random weights that make every input count."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / max(1, p[0].numel()) ** 0.5)
    return network


# NWM -----------------------------------------------------------------------------------------------------------------

NWM_FILES = {
    "models.py": """
        import torch
        from torch import nn

        class CDiT(nn.Module):
            def __init__(self, input_size=32, context_size=2, patch_size=2, in_channels=4, hidden_size=8, depth=1):
                super().__init__()
                self.context_size = context_size
                self.past = nn.Conv2d(in_channels * context_size, hidden_size, 1)
                self.now = nn.Conv2d(in_channels, hidden_size, 1)
                self.told = nn.Linear(5, hidden_size)
                self.out = nn.Conv2d(hidden_size, 2 * in_channels, 1)

            def forward(self, x, t, y, x_cond, rel_t):
                assert x_cond.shape[1] == self.context_size
                told = self.told(torch.cat([y, rel_t[:, None], t[:, None] / 1000], 1))
                return self.out(torch.tanh(self.past(x_cond.flatten(1, 2)) + self.now(x) + told[..., None, None]))

        CDiT_models = {"CDiT-T/2": lambda **settings: CDiT(hidden_size=8, depth=1, **settings)}
    """,
    "diffusion/__init__.py": """
        from .gaussian_diffusion import GaussianDiffusion

        def create_diffusion(timestep_respacing, noise_schedule="linear", learn_sigma=True, diffusion_steps=1000):
            return GaussianDiffusion(int(timestep_respacing))
    """,
    "diffusion/gaussian_diffusion.py": """
        import torch as th

        class GaussianDiffusion:
            def __init__(self, steps):
                self.num_timesteps = steps

            def p_sample_loop(self, model, shape, noise=None, clip_denoised=True, denoised_fn=None, cond_fn=None,
                              model_kwargs=None, device=None, progress=False):
                img = noise if noise is not None else th.randn(*shape, device=device)
                for i in reversed(range(self.num_timesteps)):
                    t = th.tensor([i] * shape[0], device=device)
                    mean, _ = model(img, t, **model_kwargs).chunk(2, dim=1)
                    img = mean + (0.3 * th.randn_like(img) if i else 0)
                return img
    """,
    "misc.py": "raise RuntimeError('this reads a file of the working directory')\n",
    "datasets.py": "MINE = True\n",
    "config/data_config.yaml": """
        action_stats:
          min: [-2.5, -4]
          max: [5, 4]
        recon:
          metric_waypoint_spacing: 0.25
        scand:
          metric_waypoint_spacing: 0.38
    """,
    "config/nwm_cdit_xl.yaml": """
        model: CDiT-T/2
        context_size: 4
        image_size: 32
        distance:
          min_dist_cat: -64
          max_dist_cat: 64
    """,
}


def nwm(root: Path) -> dict[str, Any]:
    """A clone of NWM with a checkpoint and an autoencoder: the settings of the adapter."""
    from diffusers import AutoencoderKL

    clone = Clone(write(root / "nwm", NWM_FILES), NWM)
    network = clone.find("models", "CDiT_models")["CDiT-T/2"](context_size=4, input_size=4, in_channels=4)
    weights = {f"_orig_mod.{k}": v for k, v in stir(network).state_dict().items()}
    # As the training writes it: the parsed command line is an object.
    whole = {"model": {}, "ema": weights, "opt": {}, "args": argparse.Namespace(epochs=1), "epoch": 3}
    torch.save(whole, root / "0100000.pth.tar")
    torch.manual_seed(1)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        norm_num_groups=2,
        sample_size=32,
    )
    vae.save_pretrained(root / "vae")
    return {
        "clone": str(root / "nwm"),
        "checkpoint": str(root / "0100000.pth.tar"),
        "vae": str(root / "vae"),
        "steps": 2,
        "device": "cpu",
    }


# DIAMOND -------------------------------------------------------------------------------------------------------------

_DENOISER = """
    from dataclasses import dataclass
    from typing import Optional

    import torch
    from torch import nn

    from data import Batch
    from .inner_model import InnerModel, InnerModelConfig
    from utils import LossAndLogs

    @dataclass
    class DenoiserConfig:
        inner_model: InnerModelConfig
        sigma_data: float
        sigma_offset_noise: float{further}

    class Denoiser(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.cfg = cfg
            cfg.inner_model.is_upsampler = getattr(cfg, "upsampling_factor", None) is not None
            self.inner_model = InnerModel(cfg.inner_model)

        @property
        def device(self):
            return self.inner_model.noise_emb.weight.device

        @torch.no_grad()
        def denoise(self, noisy, sigma, obs, act):
            made = self.inner_model(noisy, sigma.log(), obs, act)
            return made.clamp(-1, 1).add(1).div(2).mul(255).byte().div(255).mul(2).sub(1)
"""

DIAMOND_FILES = {
    "src/data/__init__.py": "class Batch:\n    pass\n",
    "src/utils.py": "LossAndLogs = tuple\n",
    "src/models/blocks.py": """
        import torch
        from torch import nn

        class FourierFeatures(nn.Module):
            def __init__(self, channels):
                super().__init__()
                self.register_buffer("weight", torch.linspace(0.5, 2, channels))

            def forward(self, x):
                return torch.sin(x[:, None] * self.weight)
    """,
    "src/models/diffusion/__init__.py": """
        from .denoiser import Denoiser, DenoiserConfig
        from .diffusion_sampler import DiffusionSampler, DiffusionSamplerConfig
        from .inner_model import InnerModel, InnerModelConfig
    """,
    "src/models/diffusion/inner_model.py": """
        from dataclasses import dataclass
        from typing import List, Optional

        import torch
        from torch import nn

        from ..blocks import FourierFeatures

        @dataclass
        class InnerModelConfig:
            img_channels: int
            num_steps_conditioning: int
            cond_channels: int
            depths: List[int]
            channels: List[int]
            attn_depths: List[bool]
            num_actions: Optional[int] = None
            is_upsampler: Optional[bool] = None

        class InnerModel(nn.Module):
            def __init__(self, cfg):
                super().__init__()
                self.noise_emb = FourierFeatures(cfg.cond_channels)
                width = cfg.cond_channels // cfg.num_steps_conditioning
                self.act_emb = None if cfg.is_upsampler else nn.Sequential(
                    nn.Embedding(cfg.num_actions, width), nn.Flatten())
                self.cond_proj = nn.Linear(cfg.cond_channels, cfg.channels[0])
                pictures = cfg.num_steps_conditioning + int(bool(cfg.is_upsampler)) + 1
                self.conv_in = nn.Conv2d(pictures * cfg.img_channels, cfg.channels[0], 3, padding=1)
                self.conv_out = nn.Conv2d(cfg.channels[0], cfg.img_channels, 3, padding=1)

            def forward(self, noisy, c_noise, obs, act):
                cond = self.noise_emb(c_noise)
                if self.act_emb is None:
                    assert act is None
                elif act.ndim == 2:
                    cond = cond + self.act_emb(act)
                else:
                    assert set(act.unique().tolist()) <= {0, 1} and act.shape[2] == self.act_emb[0].num_embeddings
                    cond = cond + self.act_emb[1](act.float() @ self.act_emb[0].weight)
                x = self.conv_in(torch.cat([obs, noisy], 1)) + self.cond_proj(cond)[..., None, None]
                return self.conv_out(torch.tanh(x))
    """,
    "src/models/diffusion/diffusion_sampler.py": """
        from dataclasses import dataclass

        import torch

        from .denoiser import Denoiser

        @dataclass
        class DiffusionSamplerConfig:
            num_steps_denoising: int
            sigma_min: float = 2e-3
            sigma_max: float = 5
            rho: int = 7
            order: int = 1
            s_churn: float = 0
            s_tmax: float = float("inf")

        class DiffusionSampler:
            def __init__(self, denoiser, cfg):
                self.denoiser = denoiser
                self.cfg = cfg
                self.sigmas = torch.linspace(cfg.sigma_max, cfg.sigma_min, cfg.num_steps_denoising)

            @torch.no_grad()
            def sample(self, prev_obs, prev_act):
                b, t, c, h, w = prev_obs.size()
                obs = prev_obs.reshape(b, t * c, h, w)
                x = torch.randn(b, c, h, w, device=prev_obs.device)
                trajectory = [x]
                for sigma in self.sigmas:
                    if self.cfg.s_churn:
                        x = x + 0.1 * torch.randn_like(x)
                    denoised = self.denoiser.denoise(x, sigma[None], obs, prev_act)
                    x = x + 0.7 * (denoised - x)
                    trajectory.append(x)
                return x, trajectory
    """,
}
_ATARI = """
    _target_: agent.AgentConfig
    denoiser:
      _target_: models.diffusion.DenoiserConfig
      sigma_data: 0.5
      sigma_offset_noise: 0.3
      inner_model:
        _target_: models.diffusion.InnerModelConfig
        img_channels: 3
        num_steps_conditioning: 4
        cond_channels: 16
        depths: [1]
        channels: [8]
        attn_depths: [0]
    rew_end_model:
      _target_: models.rew_end_model.RewEndModelConfig
      img_size: ${env.train.size}
"""
_SAMPLER = """
      _target_: models.diffusion.DiffusionSamplerConfig
      num_steps_denoising: {steps}
      sigma_min: 2e-3
      sigma_max: 5.0
      s_churn: {churn}
      s_tmax: ${{eval:'float("inf")'}}
"""


def diamond(root: Path) -> dict[str, Any]:
    """A clone of DIAMOND's branch for Atari with a checkpoint of four actions: the settings of the adapter."""
    files = {
        **DIAMOND_FILES,
        "src/models/diffusion/denoiser.py": dedent(_DENOISER).format(further=""),
        "config/agent/default.yaml": _ATARI,
        "config/trainer.yaml": "world_model_env:\n    horizon: 15\n    diffusion_sampler:"
        + _SAMPLER.format(steps=3, churn=0.0),
    }
    clone = Clone(write(root / "diamond", files), DIAMOND)
    inner = clone.find("models.diffusion", "InnerModelConfig")(3, 4, 16, [1], [8], [0], 4)
    denoiser = clone.find("models.diffusion", "Denoiser")(
        clone.find("models.diffusion", "DenoiserConfig")(inner, 0.5, 0.3)
    )
    weights = {f"denoiser.{k}": v for k, v in stir(denoiser).state_dict().items()}
    torch.save({**weights, "actor_critic.head.weight": torch.zeros(2)}, root / "Breakout.pt")
    return {
        "clone": str(root / "diamond"),
        "checkpoint": str(root / "Breakout.pt"),
        "actions": ACTIONS,
        "device": "cpu",
    }


def diamond_csgo(root: Path) -> dict[str, Any]:
    """A clone of DIAMOND's branch for Counter-Strike, with a network that enlarges three times and keys of nine."""
    further = "\n    noise_previous_obs: bool\n    upsampling_factor: Optional[int] = None".replace(
        "\n", "\n    "
    )
    part = """
    {name}:
      sigma_data: 0.5
      sigma_offset_noise: 0.1
      noise_previous_obs: {noise}
      upsampling_factor: {factor}
      inner_model:
        img_channels: 3
        num_steps_conditioning: {past}
        cond_channels: 16
        depths: [1]
        channels: [8]
        attn_depths: [0]
    """
    agent = part.format(name="denoiser", noise="true", factor="null", past=4) + part.format(
        name="upsampler", noise="false", factor=3, past=1
    )
    files = {
        **DIAMOND_FILES,
        "src/models/diffusion/denoiser.py": dedent(_DENOISER.format(further=further)),
        "config/agent/csgo.yaml": "\n".join(s[4:] for s in agent.splitlines()) + "\nrew_end_model: null\n",
        "config/trainer.yaml": "defaults:\n  - world_model_env: default\n",
        "config/world_model_env/default.yaml": dedent(
            "horizon: 9\ndiffusion_sampler_next_obs:"
            + _SAMPLER.format(steps=2, churn=0.0)
            + "diffusion_sampler_upsampling:"
            + _SAMPLER.format(steps=2, churn=10.0)
        ),
    }
    clone = Clone(write(root / "diamond", files), DIAMOND)
    find, weights = clone.find, {}
    for name, past, factor in (("denoiser", 4, None), ("upsampler", 1, 3)):
        inner = find("models.diffusion", "InnerModelConfig")(3, past, 16, [1], [8], [0], 9)
        config = find("models.diffusion", "DenoiserConfig")(inner, 0.5, 0.1, factor is None, factor)
        network = stir(find("models.diffusion", "Denoiser")(config))
        weights.update({f"{name}.{k}": v for k, v in network.state_dict().items()})
    torch.save(weights, root / "csgo.pt")
    keys = {"move_forward": [0, 8], "turn_left": [6, 8], "turn_right": [7, 8], "none": [8]}
    (root / "keys.json").write_text(json.dumps(keys))
    return {
        "clone": str(root / "diamond"),
        "checkpoint": str(root / "csgo.pt"),
        "actions": str(root / "keys.json"),
        "size": "6x8",
        "device": "cpu",
    }


# DINO-WM -------------------------------------------------------------------------------------------------------------

DINO_FILES = {
    "utils.py": "MINE = 'dino'\n",
    "models/visual_world_model.py": """
        import torch
        from torch import nn

        class VWorldModel(nn.Module):
            def __init__(self, image_size, num_hist, num_pred, encoder, proprio_encoder, action_encoder, decoder,
                         predictor, proprio_dim=0, action_dim=0, concat_dim=0, num_action_repeat=7,
                         num_proprio_repeat=7, train_encoder=True, train_predictor=False, train_decoder=True):
                super().__init__()
                print("Model emb_dim:", encoder.emb_dim)
                self.num_hist, self.encoder, self.decoder = num_hist, encoder, decoder
                self.proprio_encoder, self.action_encoder = proprio_encoder, action_encoder
                self.predictor, self.proprio_dim, self.action_dim = predictor, proprio_dim, action_dim
                assert concat_dim == 1 and num_action_repeat == num_proprio_repeat == 1

            def eval(self):
                super().eval()  # gives nothing back, as in the real one

            def encode_act(self, act):
                return self.action_encoder(act)

            def encode(self, obs, act):
                visual = self.encoder(obs["visual"])  # b t p d
                beside = torch.cat([self.proprio_encoder(obs["proprio"]), self.encode_act(act)], 2)
                return torch.cat([visual, beside[:, :, None].expand(-1, -1, visual.shape[2], -1)], 3)

            def separate_emb(self, z):
                cut = self.proprio_dim + self.action_dim
                visual, proprio = z[..., :-cut], z[:, :, 0, -cut : -self.action_dim]
                return {"visual": visual, "proprio": proprio}, z[:, :, 0, -self.action_dim :]

            def decode_obs(self, z_obs):
                frames, diff = self.decoder(z_obs["visual"])
                return {"visual": frames.unflatten(0, z_obs["visual"].shape[:2]), "proprio": z_obs["proprio"]}, diff

            def rollout(self, obs_0, act):
                n = obs_0["visual"].shape[1]
                z = self.encode(obs_0, act[:, :n])
                for t in range(n, act.shape[1] + 1):
                    new = self.predictor(z[:, -self.num_hist :])[:, -1:]
                    if t < act.shape[1]:
                        told = self.encode_act(act[:, t : t + 1])[:, :, None].expand(-1, -1, z.shape[2], -1)
                        new = torch.cat([new[..., : -self.action_dim], told], 3)
                    z = torch.cat([z, new], 1)
                return self.separate_emb(z)[0], z
    """,
    "models/dino.py": """
        import torch
        from torch import nn

        class DinoV2Encoder(nn.Module):
            def __init__(self, name, feature_key):
                super().__init__()
                self.name, self.emb_dim, self.latent_ndim, self.patch_size = name, 6, 2, 14
                torch.manual_seed(3)
                self.base_model = nn.Conv2d(3, 6, 14, 14)

            def forward(self, x):
                b, t = x.shape[:2]
                return self.base_model(x.flatten(0, 1)).flatten(2).transpose(1, 2).unflatten(0, (b, t))
    """,
    "models/proprio.py": """
        from torch import nn

        class ProprioceptiveEmbedding(nn.Module):
            def __init__(self, num_frames=16, tubelet_size=1, in_chans=8, emb_dim=384, use_3d_pos=False):
                super().__init__()
                self.in_chans, self.emb_dim = in_chans, emb_dim
                self.patch_embed = nn.Conv1d(in_chans, emb_dim, kernel_size=1)

            def forward(self, x):
                return self.patch_embed(x.float().permute(0, 2, 1)).permute(0, 2, 1)
    """,
    "models/vit.py": """
        import torch
        from torch import nn

        class ViTPredictor(nn.Module):
            def __init__(self, *, num_patches, num_frames, dim):
                super().__init__()
                self.mix = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Dropout(0.1), nn.Linear(dim, dim))

            def forward(self, x):
                return torch.tanh(self.mix(x).cumsum(1))
    """,
    "models/vqvae.py": """
        import torch
        from torch import nn

        class VQVAE(nn.Module):
            def __init__(self, emb_dim):
                super().__init__()
                self.dec = nn.ConvTranspose2d(emb_dim, 3, 14, 14)

            def forward(self, x):
                x = x.flatten(0, 1).transpose(1, 2)
                side = int(x.shape[2] ** 0.5)
                return torch.tanh(self.dec(x.unflatten(2, (side, side)))), torch.zeros(1)
    """,
}
HYDRA = """
    img_size: 28
    frameskip: 5
    concat_dim: 1
    num_action_repeat: 1
    num_proprio_repeat: 1
    num_hist: 3
    has_decoder: {decoder}
    encoder:
      _target_: models.dino.DinoV2Encoder
      name: {encoder}
      feature_key: x_norm_patchtokens
    model:
      _target_: models.visual_world_model.VWorldModel
      image_size: 28
      num_hist: 3
      num_pred: 1
      train_encoder: false
      train_predictor: true
      train_decoder: false
"""
STATS = {
    "action_mean": [1.0, -2.0],
    "action_std": [0.5, 4.0],
    "proprio_mean": [10.0, 20.0, 30.0],
    "proprio_std": [1.0, 2.0, 4.0],
}


def dino_wm(
    root: Path, decoder: bool = True, encoder: str = "tiny", further: Any = None, stats: Any = STATS
) -> dict[str, Any]:
    """A clone of DINO-WM with a training's folder, whose checkpoint holds whole networks: the adapter's settings."""
    felt, told = len(stats["proprio_mean"]), 5 * len(stats["action_mean"])
    clone = Clone(write(root / "dino_wm", DINO_FILES), DINO_WM)
    write(root / "pusht", {"hydra.yaml": HYDRA.format(decoder=str(decoder).lower(), encoder=encoder)})
    embed = clone.find("models.proprio", "ProprioceptiveEmbedding")
    parts = {
        "predictor": clone.find("models.vit", "ViTPredictor")(num_patches=4, num_frames=3, dim=6 + 3 + 4),
        "proprio_encoder": embed(in_chans=felt, emb_dim=3),
        "action_encoder": embed(in_chans=told, emb_dim=4),
    }
    if decoder:
        parts["decoder"] = clone.find("models.vqvae", "VQVAE")(6)
    whole = {"epoch": 7, **{k: stir(v) for k, v in parts.items()}}
    whole["predictor_optimizer"] = torch.optim.AdamW(parts["predictor"].parameters())
    if further is not None:
        whole["further"] = further
    place = root / "pusht" / "checkpoints" / "model_latest.pth"
    place.parent.mkdir(parents=True, exist_ok=True)
    with clone.importing():
        torch.save(whole, place)
    (root / "stats.json").write_text(json.dumps(stats))
    return {
        "clone": str(root / "dino_wm"),
        "checkpoint": str(place),
        "stats": str(root / "stats.json"),
        "device": "cpu",
    }


def dino_wm_table(root: Path) -> dict[str, Any]:
    """The same for seven numbers, as the arm at the table takes and feels them."""
    seven = {k: [0.0 if k.endswith("mean") else 1.0] * 7 for k in STATS}
    return {**dino_wm(root, stats=seven), "proprio": "gripper"}


# stable-worldmodel ---------------------------------------------------------------------------------------------------

SWM_FILES = {
    "stable_worldmodel/__init__.py": "",
    "stable_worldmodel/wm/__init__.py": "",
    "stable_worldmodel/wm/utils.py": """
        from pathlib import Path

        def load(where):
            1 / 0
    """,
    "stable_worldmodel/wm/lewm/__init__.py": "from .lewm import LeWM\n",
    "stable_worldmodel/wm/lewm/module.py": """
        import torch
        from torch import nn
        from types import SimpleNamespace

        class Encoder(nn.Module):
            def __init__(self, dim):
                super().__init__()
                self.conv = nn.Conv2d(3, dim, 8, 8)

            def forward(self, x, interpolate_pos_encoding=False):
                tokens = self.conv(x).flatten(2).transpose(1, 2)
                return SimpleNamespace(last_hidden_state=tokens)

        class Embedder(nn.Module):
            def __init__(self, input_dim=10, smoothed_dim=10, emb_dim=10, mlp_scale=4):
                super().__init__()
                self.patch_embed = nn.Conv1d(input_dim, emb_dim, 1)

            def forward(self, x):
                return self.patch_embed(x.float().permute(0, 2, 1)).permute(0, 2, 1)

        class Predictor(nn.Module):
            def __init__(self, *, num_frames, input_dim):
                super().__init__()
                self.num_frames = num_frames
                self.mix = nn.Linear(2 * input_dim, input_dim)

            def forward(self, x, c):
                return torch.tanh(self.mix(torch.cat([x, c], 2)))

        class MLP(nn.Module):
            def __init__(self, input_dim, norm_fn=None):
                super().__init__()
                self.norm = norm_fn(input_dim)

            def forward(self, x):
                return self.norm(x)
    """,
    "stable_worldmodel/wm/lewm/lewm.py": """
        import torch
        from torch import nn

        class LeWM(nn.Module):
            def __init__(self, encoder, predictor, action_encoder, projector=None, pred_proj=None, **kwargs):
                super().__init__()
                self.encoder, self.predictor, self.action_encoder = encoder, predictor, action_encoder
                self.projector, self.pred_proj = projector or nn.Identity(), pred_proj or nn.Identity()

            def encode(self, info):
                b, t = info["pixels"].shape[:2]
                seen = self.encoder(info["pixels"].flatten(0, 1), interpolate_pos_encoding=True)
                info["emb"] = self.projector(seen.last_hidden_state[:, 0]).unflatten(0, (b, t))
                return info

            def rollout(self, info, action_sequence, history_size=None):
                past = info["pixels"].size(2)
                emb = self.encode({k: v[:, 0] for k, v in info.items()})["emb"]
                told = self.action_encoder(action_sequence.flatten(0, 1))
                for t in range(past, action_sequence.shape[2] + 1):
                    lo = max(0, t - self.predictor.num_frames)
                    new = self.predictor(emb[:, lo:t], told[:, lo:t])[:, -1:]
                    emb = torch.cat([emb, self.pred_proj(new[:, 0])[:, None]], 1)
                info["predicted_emb"] = emb[:, None]
                return info
    """,
}
LEWM = {
    "_target_": "stable_worldmodel.wm.lewm.LeWM",
    "encoder": {"_target_": "stable_worldmodel.wm.lewm.module.Encoder", "dim": 6},
    "predictor": {"_target_": "stable_worldmodel.wm.lewm.module.Predictor", "num_frames": 3, "input_dim": 6},
    "action_encoder": {
        "_target_": "stable_worldmodel.wm.lewm.module.Embedder",
        "input_dim": 10,
        "emb_dim": 6,
    },
    "projector": {
        "_target_": "stable_worldmodel.wm.lewm.module.MLP",
        "input_dim": 6,
        "norm_fn": {"_target_": "torch.nn.BatchNorm1d", "_partial_": True},
    },
}
"""`config.json` as `save_pretrained` writes it."""


def stable_worldmodel(root: Path) -> dict[str, Any]:
    """A folder of weights and settings; the package must be on the path already."""
    from stable_worldmodel.wm.lewm import LeWM, module  # type: ignore[import-not-found]

    network = LeWM(
        module.Encoder(6),
        module.Predictor(num_frames=3, input_dim=6),
        module.Embedder(10, emb_dim=6),
        module.MLP(6, nn.BatchNorm1d),
    )
    place = root / "pusht"
    place.mkdir()
    torch.save(stir(network).state_dict(), place / "weights_epoch_3.pt")
    (place / "config.json").write_text(json.dumps(LEWM))
    (root / "stats.json").write_text(json.dumps({k: v for k, v in STATS.items() if k.startswith("action")}))
    return {
        "checkpoint": str(place / "weights_epoch_3.pt"),
        "stats": str(root / "stats.json"),
        "size": 32,
        "device": "cpu",
    }
