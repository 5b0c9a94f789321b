"""Pictures of any size, in tiles."""
