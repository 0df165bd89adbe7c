"""Scanned buildings (MP3D, HM3D, any scene file) walked in with Habitat-Sim."""
