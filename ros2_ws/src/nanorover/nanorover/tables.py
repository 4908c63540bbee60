"""What exists on the robot, declared once: topics, services, actions and nodes.

Launch files, the supervisor, the recorder, the doctor, the tests and the documentation read these
tables; nothing else repeats them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Qos:
    """A quality-of-service profile by its parts, so that this file needs no ROS."""

    depth: int
    reliable: bool = True
    transient_local: bool = False


# REP-2003: drivers publish reliable, so that every subscriber matches; consumers take best effort.
DRIVER = Qos(depth=5)
SENSOR = Qos(depth=5, reliable=False)
LATCHED = Qos(depth=1, transient_local=True)
# From many publishers at once: none may push out another's word.
SHARED = Qos(depth=100)
TF_STATIC = Qos(depth=100, transient_local=True)
STATE = Qos(depth=10)


@dataclass(frozen=True)
class Topic:
    """One topic: its message type, how it is offered and consumed, and whether the recorder keeps it."""

    name: str
    type: str
    publish: Qos
    subscribe: Qos
    rate_hz: float
    recorded: bool
    meaning: str


# fmt: off
TOPICS = {
    topic.name: topic
    for topic in (
        Topic("scan", "sensor_msgs/msg/LaserScan", DRIVER, SENSOR, 10, True, "one lidar revolution"),
        Topic("points", "sensor_msgs/msg/PointCloud2", DRIVER, SENSOR, 10, False,
              "the same revolution as points with their times, where asked for"),
        Topic("odom", "nav_msgs/msg/Odometry", STATE, STATE, 20, True, "where the wheels say the base is"),
        Topic("/tf", "tf2_msgs/msg/TFMessage", SHARED, SHARED, 30, True, "moving frames"),
        Topic("/tf_static", "tf2_msgs/msg/TFMessage", TF_STATIC, TF_STATIC, 0, True, "mountings"),
        Topic("map", "nav_msgs/msg/OccupancyGrid", LATCHED, LATCHED, 0.5, False, "the map so far"),
        Topic("pose", "geometry_msgs/msg/PoseWithCovarianceStamped", STATE, STATE, 10, False,
              "where SLAM says the base is, one per scan"),
        Topic("path", "nav_msgs/msg/Path", LATCHED, LATCHED, 0.5, False, "the way driven, corrected"),
        Topic("initialpose", "geometry_msgs/msg/PoseWithCovarianceStamped", STATE, STATE, 0, True,
              "a person says where the robot is"),
        Topic("robot_description", "std_msgs/msg/String", LATCHED, LATCHED, 0, False, "the robot's URDF"),
        Topic("cmd_vel_teleop", "geometry_msgs/msg/Twist", STATE, STATE, 10, True, "velocity a person asks for"),
        Topic("goal_pose", "geometry_msgs/msg/PoseStamped", STATE, STATE, 0, True, "where a person wants it"),
        Topic("cancel", "std_msgs/msg/Empty", STATE, STATE, 0, True, "ends what the robot does; it stands"),
        Topic("plan", "nav_msgs/msg/Path", STATE, STATE, 1, True, "the way to the goal, empty without one"),
        Topic("local_plan", "nav_msgs/msg/Path", STATE, STATE, 10, False, "the next two seconds of it"),
        Topic("global_costmap/costmap", "nav_msgs/msg/OccupancyGrid", LATCHED, LATCHED, 1, False,
              "what it costs to be where, on the whole map"),
        Topic("local_costmap/costmap", "nav_msgs/msg/OccupancyGrid", LATCHED, LATCHED, 5, False,
              "the same around the robot"),
        Topic("objects", "nanorover_interfaces/msg/TrackedObjects", STATE, STATE, 10, True,
              "what stands or moves about, tracked"),
        Topic("objects/markers", "visualization_msgs/msg/MarkerArray", STATE, STATE, 10, False,
              "tracked objects to look at"),
        Topic("keep_out_zones", "visualization_msgs/msg/MarkerArray", LATCHED, LATCHED, 0, False,
              "where the robot must not drive: outlines of zones with their names, and of the mask"),
        Topic("detections/image", "sensor_msgs/msg/Image", DRIVER, SENSOR, 10, False,
              "the picture with boxes, while somebody looks"),
        Topic("cmd_vel_nav", "geometry_msgs/msg/Twist", STATE, STATE, 20, True, "velocity the planner asks for"),
        Topic("cmd_vel", "geometry_msgs/msg/Twist", STATE, STATE, 20, True, "wanted velocity of the base"),
        Topic("cmd_vel_sent", "geometry_msgs/msg/TwistStamped", STATE, STATE, 30, True,
              "the velocity that the wheels were really told"),
        Topic("e_stop", "std_msgs/msg/Bool", STATE, STATE, 0, True, "true stops the base until false comes"),
        Topic("battery", "sensor_msgs/msg/BatteryState", STATE, STATE, 1, True, "the base's battery"),
        Topic("camera/image_raw", "sensor_msgs/msg/Image", DRIVER, SENSOR, 10, False, "the camera's picture"),
        Topic("camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage", DRIVER, SENSOR, 10, True,
              "the same as JPEG"),
        Topic("camera/camera_info", "sensor_msgs/msg/CameraInfo", DRIVER, SENSOR, 10, True, "its calibration"),
        Topic("detections", "vision_msgs/msg/Detection2DArray", STATE, STATE, 10, True, "objects in the picture"),
        Topic("lidar/raw", "std_msgs/msg/UInt8MultiArray", DRIVER, SENSOR, 10, True,
              "the lidar's bytes as they came, where asked for"),
        Topic("truth/pose", "geometry_msgs/msg/PoseStamped", STATE, STATE, 20, True,
              "where a simulated base really is"),
        Topic("truth/map", "nav_msgs/msg/OccupancyGrid", LATCHED, LATCHED, 0, True, "the simulated world"),
        Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", SHARED, SHARED, 1, True,
              "every node's health"),
        Topic("/clock", "rosgraph_msgs/msg/Clock", DRIVER, SENSOR, 100, False, "replayed or simulated time"),
    )
}


@dataclass(frozen=True)
class Service:
    """A service, or an action: its name as seen from the robot's namespace, and its ROS type."""

    name: str
    type: str
    meaning: str


SERVICES = {
    service.name: service
    for service in (
        Service("start_scan", "std_srvs/srv/Trigger", "lets the lidar turn and measure"),
        Service("stop_scan", "std_srvs/srv/Trigger", "lets the lidar rest"),
        Service("slam/save_map", "nanorover_interfaces/srv/FilePath", "writes the map as `.yaml` and `.pgm`"),
        Service("slam/serialize_map", "nanorover_interfaces/srv/FilePath",
                "writes the graph, from which mapping can go on"),
        Service("slam/deserialize_map", "nanorover_interfaces/srv/FilePath", "goes on with a written graph"),
        Service("slam/set_mode", "nanorover_interfaces/srv/SetSlamMode", "mapping, localization or lifelong"),
        Service("slam/pause", "std_srvs/srv/SetBool", "true leaves scans out until false comes"),
        Service("reinitialize_global_localization", "std_srvs/srv/Empty",
                "looks for the robot everywhere in the map"),
        Service("detector/enable", "std_srvs/srv/SetBool", "false rests the detector until true comes"),
        Service("keep_out_zones/add", "nanorover_interfaces/srv/AddZone",
                "shuts an area for the robot, at once and for good"),
        Service("keep_out_zones/remove", "nanorover_interfaces/srv/RemoveZone", "opens it again"),
        Service("keep_out_zones/save", "nanorover_interfaces/srv/FilePath",
                "writes the zones beside a file of the present map"),
        Service("keep_out_zones/open", "nanorover_interfaces/srv/FilePath",
                "takes the zones beside a map's file, once that is the present map"),
        Service("global_costmap/clear_entirely_global_costmap", "nav2_msgs/srv/ClearEntireCostmap",
                "forgets the obstacles seen"),
        Service("local_costmap/clear_entirely_local_costmap", "nav2_msgs/srv/ClearEntireCostmap", "the same"),
    )
}

ACTIONS = {
    action.name: action
    for action in (
        Service("navigate_to_pose", "nav2_msgs/action/NavigateToPose", "drives to a pose"),
        Service("navigate_through_poses", "nav2_msgs/action/NavigateThroughPoses", "drives through poses"),
        Service("follow_waypoints", "nav2_msgs/action/FollowWaypoints",
                "stops at poses, and leaves out those that it cannot reach"),
        Service("compute_path_to_pose", "nav2_msgs/action/ComputePathToPose", "plans and does not drive"),
        Service("follow_path", "nav2_msgs/action/FollowPath", "drives along a path as it is given"),
        Service("spin", "nav2_msgs/action/Spin", "turns in place"),
        Service("backup", "nav2_msgs/action/BackUp", "drives straight back"),
        Service("wait", "nav2_msgs/action/Wait", "stands"),
        Service("dock_robot", "nav2_msgs/action/DockRobot", "drives to a dock and slowly into it"),
        Service("explore", "nanorover_interfaces/action/Explore", "drives to what is not mapped yet until all is"),
        Service("follow_person", "nanorover_interfaces/action/FollowPerson", "keeps its distance behind a person"),
    )
}


# The parts of the robot in the order in which they start. A mode is a choice of parts; launch files and
# `nanorover up` start modes.
GROUPS = {
    "frames": "where the sensors are mounted",
    "drivers": "lidar, wheels and camera",
    "simulator": "the simulated world in place of the drivers' hardware",
    "slam": "map and pose",
    "perception": "objects in the picture",
    "navigation": "plans, drives and stops",
    "playing": "a recording in place of the robot",
    "view": "the page in the browser",
    "recording": "what happens, on the disk",
}

MODES = {
    "robot": ("frames", "drivers", "slam", "perception", "navigation"),
    "sim": ("simulator", "frames", "drivers", "slam", "perception", "navigation"),
    "slam": ("slam",),
    "localization": ("slam",),
    "navigation": ("navigation",),
    "replay": ("slam", "perception", "playing"),
    "view": ("view",),
    "record": ("recording",),
}


@dataclass(frozen=True)
class Node:
    """One process of the robot: ``python -m <module>``, installed as ``<executable>`` of its package.

    ``group`` is one of GROUPS. ``arguments`` maps a launch argument to the parameter of the node that it sets.
    ``serves`` and ``acts`` name services and actions that it offers, ``asks`` services of others.
    A node with ``lifecycle`` is configured and activated from outside and says on /diagnostics once a second
    that it lives. Where it runs, the nodes that it ``replaces`` do not.
    """

    name: str
    executable: str
    module: str
    publishes: tuple[str, ...]
    subscribes: tuple[str, ...]
    meaning: str
    group: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    lifecycle: bool = True
    replaces: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    package: str = "nanorover_nodes"


# In the order in which they start.
NODES = {
    node.name: node
    for node in (
        Node("simulator", "simulator", "nanorover_nodes.simulator",
             publishes=("truth/pose", "truth/map", "camera/image_raw", "camera/image_raw/compressed",
                        "camera/camera_info", "/diagnostics"),
             subscribes=(),
             meaning="a world with the robot's lidar and wheels on pseudo terminals, and its camera",
             group="simulator", replaces=("camera",), arguments={"world": "world", "ports": "ports"}),
        Node("static_frames", "static_frames", "nanorover_nodes.static_frames",
             publishes=("/tf_static", "robot_description", "/diagnostics"),
             subscribes=(),
             meaning="says where the sensors are mounted",
             group="frames"),
        Node("lidar", "lidar", "nanorover_nodes.lidar",
             publishes=("scan", "points", "lidar/raw", "/diagnostics"),
             subscribes=(),
             meaning="reads the lidar",
             group="drivers", arguments={"port": "port"}, serves=("start_scan", "stop_scan")),
        Node("base", "base", "nanorover_nodes.base",
             publishes=("odom", "/tf", "cmd_vel_sent", "battery", "/diagnostics"),
             subscribes=("cmd_vel", "e_stop"),
             meaning="drives the wheels and says how far they turned",
             group="drivers", arguments={"base_port": "port"}),
        Node("camera", "camera", "nanorover_nodes.camera",
             publishes=("camera/image_raw", "camera/image_raw/compressed", "camera/camera_info", "/diagnostics"),
             subscribes=(),
             meaning="takes pictures",
             group="drivers", arguments={"camera": "source"}),
        Node("slam", "slam", "nanorover_nodes.slam",
             publishes=("map", "pose", "path", "/tf", "/diagnostics"),
             subscribes=("scan", "odom", "/tf", "/tf_static", "initialpose"),
             meaning="maps and localizes",
             group="slam", arguments={"slam_mode": "mode", "map": "map"},
             serves=("slam/save_map", "slam/serialize_map", "slam/deserialize_map", "slam/set_mode", "slam/pause",
                     "reinitialize_global_localization")),
        Node("detector", "detector", "nanorover_nodes.detector",
             publishes=("detections", "detections/image", "/diagnostics"),
             subscribes=("camera/image_raw", "camera/image_raw/compressed"),
             meaning="finds objects in the newest picture",
             group="perception", arguments={"model": "model"}, serves=("detector/enable",)),
        Node("planner", "planner", "nanorover_nodes.planner",
             publishes=("cmd_vel_nav", "plan", "local_plan", "objects", "objects/markers", "keep_out_zones",
                        "global_costmap/costmap", "local_costmap/costmap", "/diagnostics"),
             subscribes=("map", "odom", "cmd_vel_sent", "pose", "scan", "detections", "camera/camera_info",
                         "goal_pose", "cancel", "e_stop", "/tf", "/tf_static"),
             meaning="tracks what moves, plans, and drives to goals",
             group="navigation", arguments={"map": "map"}, acts=tuple(ACTIONS),
             serves=("keep_out_zones/add", "keep_out_zones/remove", "keep_out_zones/save", "keep_out_zones/open",
                     "global_costmap/clear_entirely_global_costmap",
                     "local_costmap/clear_entirely_local_costmap")),
        Node("playback", "playback", "nanorover_nodes.playback",
             publishes=("scan", "odom", "camera/image_raw/compressed", "/tf", "/tf_static", "/clock",
                        "/diagnostics"),
             subscribes=("pose", "detections"),
             meaning="plays a recording in place of the robot",
             group="playing", arguments={"bag": "bag", "rate": "rate"}),
        Node("safety", "safety", "nanorover_nodes.safety",
             publishes=("cmd_vel", "/diagnostics"),
             subscribes=("cmd_vel_nav", "cmd_vel_teleop", "scan", "odom", "pose", "objects", "e_stop", "/tf",
                         "/tf_static", "/diagnostics"),
             meaning="has the last word on every velocity",
             group="navigation", asks=("base/get_parameters",)),
        Node("web", "web", "nanorover_nodes.web",
             publishes=("cmd_vel_teleop", "goal_pose", "cancel", "initialpose", "e_stop", "/diagnostics"),
             subscribes=("map", "scan", "path", "plan", "/tf", "/tf_static", "detections", "objects", "battery",
                         "keep_out_zones", "e_stop", "camera/image_raw/compressed", "/diagnostics"),
             meaning="serves the page in the browser",
             group="view", arguments={"view_host": "host", "view_port": "port"},
             asks=("keep_out_zones/add", "keep_out_zones/remove")),
        Node("recorder", "record", "nanorover_nodes.record",
             publishes=("/diagnostics",),
             subscribes=tuple(topic.name for topic in TOPICS.values() if topic.recorded),
             meaning="records what the topic table says",
             group="recording"),
    )
}
