FROM busybox
RUN mkdir -p /k/d && echo f > /k/f && ln /k/f /k/hard && ln -s f /k/soft && mkfifo /k/pipe && mknod /k/null c 1 3 && chmod 4711 /k/f && chown 5:6 /k/d && chmod 1777 /k/d
RUN rm /k/soft && rm -rf /k/d && mkdir /k/d && echo new > /k/d/new && mv /k/f /k/moved
