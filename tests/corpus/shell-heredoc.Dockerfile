FROM busybox
SHELL ["/bin/sh", "-exc"]
RUN <<EOF
echo heredoc > /heredoc
EOF
