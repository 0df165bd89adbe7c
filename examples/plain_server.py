"""A world model behind the protocol of worldloop, without worldloop: plain Python, numpy and msgpack.

    python examples/plain_server.py 8765
    worldloop run --task image-goal --model none,oracle,http://127.0.0.1:8765 --split mini

Put your own model in `imagine`. The protocol is in docs/protocol.md.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgpack
import numpy as np

CARD = {
    "name": "sliding-picture",
    "summary": "turns slide the picture sideways, steps change nothing",
    "control": "code",
    "reads": [],
    "history": 1,
}


def imagine(rgb, motions, seed):
    """Frames uint8 [L,H,W,3] after each motion (metres forward, metres left, degrees to the left)."""
    turned = np.cumsum([yaw for _, _, yaw in motions])
    return np.stack([np.roll(rgb, round(t / 90 * rgb.shape[1]), axis=1) for t in turned])


def answer(question):
    """One rollout for each candidate."""
    rollouts = []
    for candidate in question["candidates"]:
        context = question["contexts"][candidate["context"]]
        known = {p["name"]: p for p in context["vocabulary"]["primitives"]}
        motions = [[known[a][k] for k in ("forward", "left", "yaw_deg")] for a in candidate["actions"]]
        now = context["observations"][-1]
        frames = imagine(array(now["rgb"]), motions, candidate["seed"])
        packed = {"dtype": "|u1", "shape": list(frames.shape), "data": frames.tobytes()}
        rollouts.append({"frames": {"rgb": packed, "hfov_deg": now["hfov_deg"]}})
    return {"version": 1, "rollouts": rollouts}


def array(item):
    """A numpy array from `{"dtype", "shape", "data"}`."""
    return np.frombuffer(item["data"], item["dtype"]).reshape(item["shape"])


class Handler(BaseHTTPRequestHandler):
    """GET /v1/spec and POST /v1/rollouts."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply(json.dumps({"protocol": 1, "card": CARD}).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(msgpack.packb(answer(msgpack.unpackb(body))))

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing is printed for each request."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
