"""A world model of your own: the picture slides when the plan turns, and stays when it walks."""

import numpy as np

from worldloop.core import ModelCard, Observation, Rollout


class Slide:
    card = ModelCard("slide", "slides the present frame when the plan turns", control="code")

    def simulate(self, queries):
        return [Rollout(tuple(self.frames(q.history[-1], q.plan))) for q in queries]

    def frames(self, now, plan):
        rgb = now.rgb
        for action in plan.actions:
            rgb = np.roll(rgb, round(plan.vocabulary.primitive(action).yaw_deg / 90 * rgb.shape[1]), axis=1)
            yield Observation(rgb, hfov_deg=now.hfov_deg)
