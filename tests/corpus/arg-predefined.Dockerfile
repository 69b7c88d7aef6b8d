FROM busybox
RUN echo "proxy: $HTTP_PROXY $no_proxy" > /proxy
