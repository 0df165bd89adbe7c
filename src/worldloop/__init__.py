"""worldloop: does this world model help an agent succeed?"""

__version__ = "0.1.0"
