"""Defects in time: frames that stand still, come late, jump or flicker."""
