FROM busybox
COPY --parents ./app/lib/a.txt docs/*.md /srv/
