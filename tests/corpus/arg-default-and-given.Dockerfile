FROM busybox
ARG GIVEN=default
ARG LEFT=default
ARG NONE
ENV A=$GIVEN B=$LEFT C=${NONE:-none}
RUN echo "$GIVEN $LEFT ${NONE-unset}" > /args
