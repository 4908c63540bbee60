"""The robot's components as the lock-step graph drives them, one file each."""
