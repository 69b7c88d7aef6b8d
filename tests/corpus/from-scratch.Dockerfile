FROM scratch
COPY app/main.txt /
LABEL only=files
ENV A=b
