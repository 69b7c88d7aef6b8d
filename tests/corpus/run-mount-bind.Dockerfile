FROM busybox AS src
RUN mkdir /data && echo data > /data/file
FROM busybox
RUN --mount=type=bind,target=/ctx cat /ctx/app/main.txt > /a
RUN --mount=type=bind,from=src,source=/data,target=/mnt,rw echo gone > /mnt/new && cat /mnt/file > /b
RUN --mount=type=bind,from=busybox,target=/other ls /other/bin/busybox > /c
