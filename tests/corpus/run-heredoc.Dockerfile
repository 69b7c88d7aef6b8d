FROM busybox
RUN <<EOF
set -e
echo "one $HOME" > /one
echo two > /two
EOF
RUN <<'LITERAL' cat > /literal
$HOME stays
LITERAL
RUN cat <<A <<B > /both
a
A
b
B
