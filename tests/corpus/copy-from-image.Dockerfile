FROM scratch
COPY --from=busybox /etc/passwd /etc/group /from/
