"""Defects of pictures: each frame spoilt by itself."""
