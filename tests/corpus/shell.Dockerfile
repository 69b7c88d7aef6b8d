FROM busybox
SHELL ["/bin/sh", "-euc"]
RUN echo custom > /custom
SHELL ["/bin/busybox", "sh", "-c"]
RUN echo second > /second
CMD shown
ENTRYPOINT by shell
