FROM busybox
RUN echo someone:x:1234:1234::/home/someone:/bin/sh >> /etc/passwd && mkdir /open && chmod 777 /open
USER someone
RUN id -un > /open/name; echo $HOME > /open/home
COPY app/main.txt /open/copied
USER 77:88
RUN id -u > /open/number
USER nobody:nobody
