FROM busybox
RUN --network=none ls /sys/class/net > /nets
RUN --network=default echo default > /default
