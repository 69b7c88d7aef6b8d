FROM busybox
RUN set -e; \
    for name in a b c; do \
        echo "$name" >> /names; \
    done; \
    printf '%s\n' 'quo"ted' "it's" "back\\slash" > /quoted; \
    echo $((1 + 2)) `echo ticks` $(echo sub) > /shell
