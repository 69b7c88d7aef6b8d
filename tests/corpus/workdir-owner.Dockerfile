FROM busybox
USER 5:6
WORKDIR /made/by
RUN pwd
