# Camera and detector on a Jetson: TensorRT, CUDA and Argus come with the board's L4T image, which BASE names.
#   docker build -f docker/detector.Dockerfile -t nanorover:detector .                                          Nano
#   … --build-arg BASE=dustynv/ros:humble-ros-base-l4t-r35.4.1                                     Orin, JetPack 5
#   … --build-arg BASE=dustynv/ros:humble-desktop-l4t-r36.4.0                                      Orin, JetPack 6
ARG BASE=dustynv/ros:humble-ros-base-l4t-r32.7.1
FROM ${BASE}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN useradd --uid 10001 --create-home --groups video rover
COPY ros2_ws/src/nanorover /opt/nanorover/nanorover
COPY ros2_ws/src/nanorover_nodes /opt/nanorover/nanorover_nodes
COPY models/weights /opt/nanorover/models/weights
COPY docker/run /opt/nanorover/docker/run
WORKDIR /home/rover
USER 10001
ENV PYTHONPATH=/opt/nanorover/nanorover:/opt/nanorover/nanorover_nodes
HEALTHCHECK --interval=20s --timeout=15s --start-period=600s \
  CMD ["/opt/nanorover/docker/run", "ros2", "service", "type", "/detector/get_state"]
ENTRYPOINT ["/opt/nanorover/docker/run"]
CMD ["python3", "-m", "nanorover_nodes.detector"]
