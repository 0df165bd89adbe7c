"""Whether the frames show what the actions bring."""
