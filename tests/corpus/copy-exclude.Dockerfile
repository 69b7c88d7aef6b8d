FROM busybox
COPY --exclude=*.txt --exclude=lib/b* app /srv/
