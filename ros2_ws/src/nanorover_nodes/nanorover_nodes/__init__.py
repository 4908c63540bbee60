"""ROS 2 nodes of Nanorover: a thin coat over the library ``nanorover``."""
