"""The page in the browser: a small web server that shows the robot and takes commands, without ROS."""
