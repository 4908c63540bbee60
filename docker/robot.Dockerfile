# The robot's nodes on plain Ubuntu with ROS 2, for x86-64 and ARM: a desk machine, or a Jetson beside engine.Dockerfile.
#   docker build -f docker/robot.Dockerfile -t nanorover:robot .                             ROS 2 Jazzy, Ubuntu 24.04
#   docker build -f docker/robot.Dockerfile --build-arg ROS=humble -t nanorover:robot .      ROS 2 Humble, Ubuntu 22.04
ARG ROS=jazzy
FROM ros:${ROS}-ros-core AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The archive of a release keeps only the newest version of a package, so versions cannot be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends \
    build-essential cmake ninja-build python3-dev python3-pip python3-venv python3-colcon-common-extensions \
    "ros-${ROS_DISTRO}-ros-base" "ros-${ROS_DISTRO}-vision-msgs" "ros-${ROS_DISTRO}-tf2-msgs" \
  && rm -rf /var/lib/apt/lists/*
COPY . /opt/nanorover
WORKDIR /opt/nanorover
RUN ./scripts/setup

# What was needed to build stays behind.
FROM ros:${ROS}-ros-core
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends \
    "ros-${ROS_DISTRO}-launch-ros" "ros-${ROS_DISTRO}-robot-state-publisher" "ros-${ROS_DISTRO}-vision-msgs" \
    "ros-${ROS_DISTRO}-tf2-msgs" "ros-${ROS_DISTRO}-rmw-fastrtps-cpp" \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --uid 10001 --create-home --groups dialout,video rover
COPY --from=build /opt/nanorover /opt/nanorover
WORKDIR /home/rover
USER 10001
ENV PATH=/opt/nanorover/.venv/bin:$PATH NUMBA_CACHE_DIR=/home/rover/.cache/nanorover/kernels
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["/opt/nanorover/docker/run", "nanorover", "status"]
ENTRYPOINT ["/opt/nanorover/docker/run"]
CMD ["nanorover", "up", "robot"]
