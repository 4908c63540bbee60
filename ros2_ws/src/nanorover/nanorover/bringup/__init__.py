"""Starting the robot: launch arguments, which nodes run, supervision, and where the sensors are mounted."""
