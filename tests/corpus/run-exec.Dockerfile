FROM busybox
ENV WORD=hello
RUN ["/bin/sh", "-c", "echo $WORD > /exec"]
RUN ["touch", "/a b", "/$WORD"]
