"""Finding out how the robot is really built: wheels, mountings and lens, from recordings."""
