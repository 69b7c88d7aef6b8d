FROM busybox
ONBUILD RUN exit 9
ONBUILD ADD . /srv
RUN echo kept > /kept
