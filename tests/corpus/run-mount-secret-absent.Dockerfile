FROM busybox
RUN --mount=type=secret,id=nobody_has_it ls /run/secrets > /list 2>&1 || echo absent > /absent
