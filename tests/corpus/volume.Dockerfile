FROM busybox
RUN mkdir /data && echo before > /data/file
VOLUME /data /more
VOLUME ["/json", "/a b"]
RUN echo after > /data/later
