"""The mountings as /tf_static and the robot's model, latched, where robot_state_publisher is not at hand."""

from geometry_msgs.msg import TransformStamped
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from nanorover.base.params import BaseParams
from nanorover.bringup.robot_model import FixedFrame, FramesParams, fixed_frames, robot_urdf
from nanorover.geometry.frames import quaternion_of
from nanorover_nodes.component import OK, Component, Health
from nanorover_nodes.process import run


class StaticFrames(Component):
    """Says where everything is mounted."""

    PARAMS = {"frames": FramesParams, "base": BaseParams}

    def __init__(self) -> None:
        super().__init__("static_frames")

    def configure(self) -> None:
        self.urdf = robot_urdf(self.params["frames"], self.params["base"])
        self.frames = fixed_frames(self.urdf)
        self.tf_publisher = self.offer("/tf_static")
        self.model_publisher = self.offer("robot_description")

    def activate(self) -> None:
        self.tf_publisher.publish(TFMessage(transforms=[self._message(frame) for frame in self.frames]))
        self.model_publisher.publish(String(data=self.urdf))

    def _message(self, frame: FixedFrame) -> TransformStamped:
        message = TransformStamped(child_frame_id=frame.child)
        message.header.frame_id = frame.parent
        message.header.stamp = self.get_clock().now().to_msg()
        t, r = message.transform.translation, message.transform.rotation
        t.x, t.y, t.z = (float(v) for v in frame.T_parent_child[:3, 3])
        r.x, r.y, r.z, r.w = quaternion_of(frame.T_parent_child)
        return message

    def diagnose(self) -> Health:
        return Health(OK, "mountings published", {"frames": len(self.frames)})


def main() -> None:
    """Run the node."""
    run(StaticFrames)


if __name__ == "__main__":
    main()
