FROM busybox
COPY app/main.txt /
COPY app/*.txt docs/README.md /many/
COPY ["with space.txt", "/named so"]
COPY .hidden empty /
