FROM busybox
ADD packed.tar /srv/
ADD --chown=7:8 packed.tar.gz /owned/
