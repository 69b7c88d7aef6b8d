FROM busybox AS one
ARG SCOPED=seen
RUN echo "[$SCOPED]" > /scoped
FROM busybox
RUN echo "[$SCOPED]" > /scoped
COPY --from=one /scoped /one
