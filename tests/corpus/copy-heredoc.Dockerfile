FROM busybox
ARG WORD=expanded
COPY <<one.txt <<"two.txt" /here/
$WORD and \$WORD
one.txt
$WORD as it is
two.txt
COPY --chmod=755 <<-EOF /indented.sh
	#!/bin/sh
	echo indented
EOF
