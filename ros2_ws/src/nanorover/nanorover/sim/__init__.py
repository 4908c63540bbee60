"""The simulated world and its sensors at the byte level."""
