# The detector's engine on a Jetson: TensorRT and CUDA come with the board's L4T image, which BASE names. It serves the
# detector node of the robot's container through a socket, so that its Python need not be a present one.
#   docker build -f docker/engine.Dockerfile -t nanorover:engine .                                              Nano
#   … --build-arg BASE=dustynv/ros:humble-ros-base-l4t-r35.4.1                                     Orin, JetPack 5
#   … --build-arg BASE=dustynv/ros:humble-desktop-l4t-r36.4.0                                      Orin, JetPack 6
ARG BASE=dustynv/ros:humble-ros-base-l4t-r32.7.1
FROM ${BASE}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN useradd --uid 10001 --create-home --groups video rover \
  && install --directory --owner=rover /run/nanorover
COPY ros2_ws/src/nanorover/nanorover /opt/nanorover/ros2_ws/src/nanorover/nanorover
COPY models /opt/nanorover/models
WORKDIR /home/rover
USER 10001
ENV PYTHONPATH=/opt/nanorover/ros2_ws/src/nanorover
HEALTHCHECK --interval=20s --timeout=5s --start-period=900s CMD ["test", "-S", "/run/nanorover/engine.sock"]
CMD ["python3", "-m", "nanorover.perception.serve", "--model", "rover", "--socket", "/run/nanorover/engine.sock"]
