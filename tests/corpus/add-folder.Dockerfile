FROM busybox
ADD app /srv
ADD --link docs /linked/
