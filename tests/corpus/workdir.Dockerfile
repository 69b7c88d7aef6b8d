FROM busybox
WORKDIR /a/b
WORKDIR c
RUN pwd > where
ENV SUB=d
WORKDIR $SUB
COPY app/main.txt .
COPY app/main.txt ../up.txt
