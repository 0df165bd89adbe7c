"""What several metrics read: computed once for each clip, by `Clip.once`."""
