FROM busybox
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["echo $HOME"]
