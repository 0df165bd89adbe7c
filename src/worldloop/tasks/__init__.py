"""Tasks. `TASKS` knows them by name; register your own with `TASKS.register`."""

from worldloop.core import Registry, Task

TASKS: Registry[Task] = Registry("task")
TASKS.register(
    "active-recognition",
    "worldloop.tasks.active_recognition:ActiveRecognition",
    "name the object in the red box, which is badly seen from the start",
)
TASKS.register(
    "image-goal",
    "worldloop.tasks.image_goal:ImageGoal",
    "go where the goal picture was taken, and stop there",
)
TASKS.register(
    "manipulation",
    "worldloop.tasks.manipulation:Manipulation",
    "push, stack, press, and pick and place with a Franka arm, as told",
)
TASKS.register(
    "embodied-qa",
    "worldloop.tasks.embodied_qa:EmbodiedQa",
    "answer a question about a house by walking through it",
)
TASKS.register(
    "gym",
    "worldloop.tasks.gym:GymTask",
    "any Gymnasium environment with pictures: gym:env=CartPole-v1, or --env gym:CartPole-v1",
)
TASKS.register(
    "libero",
    "worldloop.tasks.robots:Libero",
    "a task of LIBERO, where that is installed: libero:suite=libero_spatial,number=0",
)
TASKS.register(
    "rlbench",
    "worldloop.tasks.robots:RLBench",
    "a task of RLBench, where that is installed: rlbench:name=reach_target,variation=0",
)

__all__ = ["TASKS"]
