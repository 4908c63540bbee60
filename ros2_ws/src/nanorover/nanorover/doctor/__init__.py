"""Names what is wrong with a robot, in one line each, with the mend."""
