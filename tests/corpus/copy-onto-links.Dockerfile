FROM busybox
RUN mkdir /real && ln -s /real /short
COPY app/main.txt /short/
COPY app/link /kept
