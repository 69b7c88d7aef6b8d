FROM busybox
ENTRYPOINT exec top -b
CMD echo default
