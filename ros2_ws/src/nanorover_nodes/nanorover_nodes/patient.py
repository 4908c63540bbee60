"""A component that is not woken by messages: it takes them all together when it looks.

Every time rclpy wakes it gathers all that it waits for, which costs more than most messages. Who renews a page
ten times a second has no use for being woken two hundred times.
"""

from collections.abc import Container
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.subscription import Subscription

from nanorover_nodes.component import Component


class _NotWoken(MutuallyExclusiveCallbackGroup):
    """The executor waits for nothing of this group.

    Not for the events of its subscriptions either: waiting for one is ended by every message. That a quality of
    service does not fit is then said by the publisher's side alone.
    """

    def can_execute(self, entity: Any) -> bool:
        return False


class PatientComponent(Component):
    """Call ``hear`` often enough that no queue of a topic overflows."""

    def __init__(self, name: str) -> None:
        self.hearing_group = _NotWoken()
        super().__init__(name)

    def hear(self, but: Container[Subscription] = ()) -> None:
        """Have what came since the last call handled, topic by topic; of a flood no more than a queue holds.

        What came on the subscriptions of ``but`` waits for a later call.
        """
        for subscription in self.heard:
            if subscription in but:
                continue
            handle = subscription.handle
            with handle:
                for _ in range(subscription.qos_profile.depth):
                    taken = handle.take_message(subscription.msg_type, subscription.raw)
                    if taken is None:
                        break
                    subscription.callback(taken[0])
