FROM busybox
COPY --link app /srv/app/
COPY --link --chown=1:1 app/main.txt /owned
RUN ls -ln /srv/app > /listed
