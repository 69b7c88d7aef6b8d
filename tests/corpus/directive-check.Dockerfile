# check=skip=all
FROM busybox as small
Run echo any case > /case
