"""A world model of your own: predict that the camera zooms in when it walks, and slides when it turns."""

import numpy as np

from worldloop.core import ModelCard, Observation, Rollout


class Zoom:
    card = ModelCard("zoom", "crops and slides the present frame", control="code")

    def simulate(self, queries):
        return [Rollout(tuple(self.frames(q.history[-1].rgb, q.plan))) for q in queries]

    def frames(self, rgb, plan):
        size = rgb.shape[1]
        rows = columns = np.linspace(0, size - 1, size)
        for action in plan.actions:
            move = plan.vocabulary.primitive(action)
            rows, columns = (x + (size / 2 - x) * move.forward / 2 for x in (rows, columns))
            columns = columns - move.yaw_deg / 90 * size
            picked = np.clip(np.rint([rows, columns]), 0, size - 1).astype(int)
            yield Observation(rgb[np.ix_(*picked)])
