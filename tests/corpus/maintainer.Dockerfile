FROM busybox
MAINTAINER somebody <someone@example.com>
