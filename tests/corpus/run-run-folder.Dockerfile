FROM busybox
RUN mkdir -p /run/own /tmp/own /dev/shm && echo kept > /run/own/file && ls -d /run/* /tmp/* > /listed
