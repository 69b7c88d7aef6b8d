FROM busybox
RUN --mount=type=tmpfs,target=/t,size=1m echo gone > /t/file && cat /t/file > /seen
