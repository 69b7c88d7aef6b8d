FROM busybox
RUN echo bom > /bom
