FROM busybox
LABEL a=b "c d"="e f" multi="one\
two"
LABEL a=c
LABEL org.opencontainers.image.title=corpus
