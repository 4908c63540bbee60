"""Launch files of the robot; they lie in ``launch/`` at the top of the repository."""
