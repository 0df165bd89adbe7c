"""Any Gymnasium environment that can be drawn, as a world to act in."""
