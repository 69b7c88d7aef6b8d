FROM busybox AS first
RUN mkdir /out && echo 0 > /out/zero
FROM busybox AS second
COPY --from=0 /out /in
RUN cat /in/zero > /one
FROM scratch
COPY --from=0 /out/zero /
COPY --from=1 /one /
