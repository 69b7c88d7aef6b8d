FROM busybox
COPY --chmod=u=rwX,go=rX app /srv/
