"""From a map and what moves in it to velocities: costmap, plan, controller, behaviours, safety."""
