"""The host agent: works out and applies what a machine lacks. Python >= 3.9, nothing else."""

PROTOCOL = 1
"""Version of the frames in :mod:`.wire`; raised when an old peer would misread a new one."""
