"""Whether the frames show one and the same rigid world from where the camera stands."""
