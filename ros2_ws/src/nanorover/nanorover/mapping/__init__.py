"""Occupancy grids, their files and their pictures."""
