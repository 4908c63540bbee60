"""Simultaneous localization and mapping: matching, submaps, loop closure, pose graph."""
