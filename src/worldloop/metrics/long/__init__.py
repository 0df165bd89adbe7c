"""What is left of a rollout after many steps."""
