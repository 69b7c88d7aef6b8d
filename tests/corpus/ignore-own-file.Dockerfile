FROM busybox
COPY . /srv
