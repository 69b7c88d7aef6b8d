FROM busybox
ADD app/main.txt app/run.sh /srv/
ADD --chmod=600 app/main.txt /closed
ADD ["with space.txt", "/a name/"]
