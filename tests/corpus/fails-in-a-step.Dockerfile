FROM busybox
RUN echo before && exit 3
