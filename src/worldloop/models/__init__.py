"""World models. `MODELS` knows them by name; register your own with `MODELS.register`."""

from worldloop.core import Registry, WorldModel

MODELS: Registry[WorldModel] = Registry("world model", urls="remote")
_HERE = "worldloop.models"
for _name, _where, _summary in (
    ("none", "controls:NoModel", "no imagination: the agent follows its first proposal (baseline)"),
    ("oracle", "controls:Oracle", "the simulator itself (ceiling)"),
    ("frozen", "controls:Frozen", "repeats the present frame (control)"),
    ("shuffled", "controls:Shuffled", "true frames of another candidate's plan (control)"),
    ("blind", "controls:Blind", "true frames of a random plan, the same for all candidates (control)"),
    (
        "rotate-only",
        "panorama:RotateOnly",
        "turns are cut from the real panorama, steps are ignored (control)",
    ),
    ("oracle-blur", "controls:OracleBlur", "true future, blurred: ugly but controllable (control)"),
    ("oracle-wrong", "controls:OracleWrong", "sharp true frames of other actions (control)"),
    (
        "pointcloud",
        "pointcloud:PointCloud",
        "lifts the RGB-D panorama to 3-D and re-renders it along the plan",
    ),
    (
        "pointcloud-assumed",
        "pointcloud:AssumedPointCloud",
        "the same without true depth: floor, ceiling and walls at an assumed distance",
    ),
    (
        "video-base",
        "video.shipped:base",
        "small video diffusion transformer trained on passive video (weights in the package)",
    ),
    ("video-lora", "video.shipped:lora", "the same, post-trained on actions by LoRA"),
    (
        "video-table",
        "video.shipped:table",
        "small, of a table: follows an arm's 7-DoF commands (manipulation)",
    ),
    ("video", "video:VideoModel", "what `worldloop train` wrote: video:weights=FILE"),
    ("diffusers", "diffusers.model:build", "a video pipeline of diffusers in a folder on this machine"),
    ("nwm", "research.nwm:build", "Navigation World Model, from your own clone and checkpoint"),
    (
        "diamond",
        "research.diamond:build",
        "DIAMOND, a diffusion model of a game, from your own clone and checkpoint",
    ),
    ("dino-wm", "research.dino_wm:build", "DINO-WM, a model of features, from your own clone and checkpoint"),
    (
        "stable-worldmodel",
        "research.stable_worldmodel:build",
        "LeWM, PLDM or PreJEPA of stable-worldmodel, from your own checkpoint",
    ),
    ("remote", "remote.client:RemoteModel", "a model behind `worldloop serve`; its URL alone will do"),
    (
        "videos",
        "services.videos:VideosModel",
        "a video generator behind a /v1/videos server, told plans as text",
    ),
    ("jobs", "services.jobs:JobsModel", "a video service with a job interface that a small file describes"),
):
    MODELS.register(_name, f"{_HERE}.{_where}", _summary)

__all__ = ["MODELS"]
