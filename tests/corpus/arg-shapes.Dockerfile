FROM busybox
ARG TEXT=one.two.three
ENV A=${TEXT#*.} B=${TEXT##*.} C=${TEXT%.*} D=${TEXT%%.*} E=${TEXT/two/2} F=${TEXT//o/0} G=${TEXT:+set} H=${EMPTY-unset}
