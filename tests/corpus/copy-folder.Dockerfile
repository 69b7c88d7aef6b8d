FROM busybox
COPY . /srv
COPY app/ /app/
COPY empty /empty
