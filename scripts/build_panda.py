"""Build the Panda of the tabletop world from the MuJoCo Menagerie's model: thin meshes to draw, simple shapes to touch.

    pip download --no-deps genesis-world && unzip genesis_world-*.whl 'genesis/assets/xml/franka_emika_panda/*'
    python scripts/build_panda.py genesis/assets/xml/franka_emika_panda

Writes `panda.npz` (what is drawn), `panda.xml` (what moves and collides) and `CREDITS.md` into the package.
Needs `meshoptimizer`.
"""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import meshoptimizer
import numpy as np

DATA = Path(__file__).resolve().parents[1] / "src" / "worldloop" / "envs" / "tabletop" / "data"
KEEP = 0.06
"""Share of the triangles that stay."""
FEWEST = 40
"""A mesh of fewer triangles stays as it is."""
GRIP = 1000
"""Stiffness of the gripper, N/m."""
DAMPING = 0.2
"""Share of the motors' damping that stays."""
MATERIALS = ("white", "off_white", "black", "green", "light_blue")
# Bodies that can touch something: (type, attributes). Measured by eye on the meshes; a little inside them.
SHAPES: dict[str, tuple[dict[str, str], ...]] = {
    "link5": (
        {"type": "capsule", "fromto": "0 0.02 -0.2 0 0.02 -0.27", "size": "0.06"},
        {"type": "capsule", "fromto": "0 0.08 -0.13 0 0.08 -0.02", "size": "0.045"},
    ),
    "link6": ({"type": "capsule", "fromto": "0 0 -0.03 0.07 0 0.01", "size": "0.05"},),
    "link7": ({"type": "capsule", "fromto": "0 0 0.03 0 0 0.075", "size": "0.045"},),
    "hand": (
        {"type": "box", "size": "0.03 0.1 0.022", "pos": "0 0 0.035"},
        {"type": "box", "size": "0.025 0.025 0.02", "pos": "0 0 0.01"},
    ),
    "left_finger": (),
    "right_finger": (),
}
FINGER: tuple[dict[str, str], ...] = (
    {"type": "box", "size": "0.0075 0.0065 0.018", "pos": "0 0.0125 0.018"},  # pads touch first
    {
        "type": "box",
        "size": "0.0085 0.004 0.0085",
        "pos": "0 0.0045 0.0445",
        "friction": "1.5 0.05 0.002",
        "priority": "1",  # its friction holds, not the greater of two: what slides well is still gripped well
        "condim": "6",
        "solref": "0.006 1",
        "solimp": "0.98 0.995 0.001",
    },
)
CREDITS = """# Credits

`panda.npz` and `panda.xml` were written by `scripts/build_panda.py`. They derive from the Franka Emika Panda of
MuJoCo Menagerie (https://github.com/google-deepmind/mujoco_menagerie, `franka_emika_panda`, as copied in the PyPI
package `genesis-world`), which derives from `franka_description` by Franka Emika GmbH
(https://github.com/frankarobotics/franka_ros). Both are licensed under Apache-2.0; the text of the licence is in this
package's LICENSE.

Changes: meshes to draw were joined by body and simplified with meshoptimizer to {faces} triangles; collision meshes
were replaced by capsules and boxes; visual parts, keyframes and lights were taken out of the MJCF; gravity is
compensated; the gripper closes ten times as firmly and the motors are damped less; a site marks the point between the fingertips.
"""


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Welded vertices [V,3] and triangles [F,3] of an OBJ file."""
    points, faces = [], []
    for line in path.read_text().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            points.append([float(v) for v in fields[:3]])
        elif kind == "f":
            corners = [int(f.split("/")[0]) - 1 for f in fields]
            faces += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
    places, inverse = np.unique(np.round(np.array(points), 5), axis=0, return_inverse=True)
    triangles = inverse.reshape(-1)[np.array(faces)]
    whole = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    return places.astype(np.float32), triangles[whole].astype(np.uint32)


def simplify(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Fewer triangles over the same points."""
    target = max(FEWEST, int(len(faces) * KEEP))
    if len(faces) <= target:
        return faces
    result = np.zeros(faces.size, np.uint32)
    count = meshoptimizer.simplify(
        result,
        np.ascontiguousarray(faces.ravel()),
        points,
        target_index_count=3 * target,
        target_error=0.03,
    )
    return result[:count].reshape(-1, 3)


def corner_normals(points: np.ndarray, faces: np.ndarray, crease_deg: float = 40.0) -> np.ndarray:
    """Normals [F,3,3]: the area-weighted mean of the neighbouring triangles that bend less than the crease."""
    cross = np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])
    area = np.linalg.norm(cross, axis=1, keepdims=True)
    flat = cross / np.maximum(area, 1e-12)
    around: dict[int, list[int]] = {}
    for face, corners in enumerate(faces):
        for corner in corners:
            around.setdefault(int(corner), []).append(face)
    out = np.empty((len(faces), 3, 3))
    for face, corners in enumerate(faces):
        for k, corner in enumerate(corners):
            near = around[int(corner)]
            alike = [n for n in near if flat[n] @ flat[face] > np.cos(np.radians(crease_deg))]
            mean = cross[alike].sum(axis=0) if alike else flat[face]
            out[face, k] = mean / max(np.linalg.norm(mean), 1e-12)
    return out


def drawn(model: ElementTree.Element, folder: Path) -> dict[str, np.ndarray]:
    """The arrays of `panda.npz`: one row per triangle, in the frame of its body."""
    bodies = [b.get("name", "") for b in model.iter("body")]
    corners, normals, owner, paint = [], [], [], []
    for body in model.iter("body"):
        for geom in body.findall("geom"):
            if geom.get("class") != "visual":
                continue
            points, faces = read_obj(folder / "assets" / f"{geom.get('mesh')}.obj")
            faces = simplify(points, faces)
            corners.append(points[faces])
            normals.append(corner_normals(points.astype(float), faces))
            owner.append(np.full(len(faces), bodies.index(body.get("name", "")), np.uint8))
            paint.append(np.full(len(faces), MATERIALS.index(geom.get("material", "")), np.uint8))
    places = np.concatenate(corners)
    return {
        # A tenth of a millimetre; int16 reaches 3.2 m.
        "corners": np.round(places * 1e4).astype(np.int16),
        "normals": np.round(np.concatenate(normals) * 127).astype(np.int8),
        "body": np.concatenate(owner),
        "material": np.concatenate(paint),
        "bodies": np.array(bodies),
        "materials": np.array(MATERIALS),
    }


def moved(model: ElementTree.Element) -> None:
    """Turn the model into one without meshes, in place."""
    for tag in ("asset", "keyframe", "option"):
        for part in model.findall(tag):
            model.remove(part)
    default = model.find("default/default")
    world = model.find("worldbody")
    assert default is not None and world is not None
    for part in [d for d in default if d.tag == "material" or d.get("class") in ("visual", "collision")]:
        default.remove(part)
    for light in world.findall("light"):
        world.remove(light)
    for body in model.iter("body"):
        body.set("gravcomp", "1")
        for geom in body.findall("geom"):
            body.remove(geom)
        name = body.get("name", "")
        for shape in FINGER if "finger" in name else SHAPES.get(name, ()):
            # Category 2 meets what is in category 1 (table and things), not itself.
            ElementTree.SubElement(body, "geom", {**shape, "contype": "2", "conaffinity": "1", "group": "3"})
        if name == "hand":
            ElementTree.SubElement(body, "site", {"name": "tcp", "pos": "0 0 0.1034"})
    gripper = model.find("actuator/general[@name='actuator8']")
    assert gripper is not None
    # Ten times as firm: one newton a finger lets a lifted block turn.
    gripper.set("gainprm", f"{0.04 * GRIP / 255:.9f} 0 0")
    gripper.set("biasprm", f"0 {-GRIP} -30")
    # With stronger damping, implicit integration lets what is held slip out of the moving hand.
    for motor in model.findall("actuator/general[@joint]"):
        _, stiffness, damping = (float(v) for v in motor.get("biasprm", "").split())
        motor.set("biasprm", f"0 {stiffness:g} {DAMPING * damping:g}")


def main() -> None:
    """Build all files from the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the Menagerie's franka_emika_panda")
    folder = parser.parse_args().folder
    tree = ElementTree.parse(folder / "panda.xml")
    model = tree.getroot()
    arrays = drawn(model, folder)
    moved(model)
    ElementTree.indent(tree)
    DATA.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(DATA / "panda.npz", **arrays)
    tree.write(DATA / "panda.xml", encoding="unicode")
    faces = len(arrays["corners"])
    (DATA / "CREDITS.md").write_text(CREDITS.format(faces=f"{faces:,}"))
    print(faces, "triangles;", (DATA / "panda.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
