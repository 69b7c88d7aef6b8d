FROM busybox
HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --start-interval=2s --retries=4 CMD wget -q -O- localhost || exit 1
