"""Recordings: reading, writing, and running the library over them in lock-step."""
