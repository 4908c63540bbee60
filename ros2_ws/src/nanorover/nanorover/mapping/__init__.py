"""Occupancy grids, distance fields and map files."""
