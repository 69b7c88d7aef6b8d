FROM busybox
ENV A=b
RUN echo crlf \
  joined > /crlf
LABEL x=y
