FROM busybox AS needed
RUN echo needed > /needed
FROM busybox AS broken
RUN exit 9
FROM broken AS more
COPY nowhere /
FROM scratch
COPY --from=needed /needed /
