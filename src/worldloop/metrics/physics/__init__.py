"""Whether bodies move as the laws say."""
