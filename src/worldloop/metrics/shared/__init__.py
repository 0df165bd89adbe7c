"""What several metrics compute from a clip once: pictures, flow, motion of the camera, geometry."""
