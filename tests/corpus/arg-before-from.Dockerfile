ARG BASE=busybox
ARG NOTE=outer
FROM ${BASE} AS built
ARG NOTE
RUN echo "$NOTE" > /note
FROM ${BASE:-nothing}
ARG NOTE=inner
COPY --from=built /note /note
LABEL note=$NOTE
