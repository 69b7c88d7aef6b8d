FROM busybox
ADD --unpack=false packed.tar /srv/
