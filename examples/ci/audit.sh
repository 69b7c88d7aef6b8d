#!/bin/sh
# A pipeline of any kind: the image on standard input or by name, the secrets in the environment.
#
# usage: docker save IMAGE | audit.sh NAME…          searches what comes through the pipe
#        AUDIT_IMAGE=docker://… audit.sh NAME…       searches a source of its own
#
# NAME  an environment variable whose value must not be in the image
#
# Ends with pbuild's own code: 0 clean, 10 a leak, 11 something could not be searched, 2 nothing to search for.
set -eu

image=${AUDIT_IMAGE:-docker-archive:-}
arguments=''
for name in "$@"; do arguments="$arguments --secret id=$name"; done

code=0
# shellcheck disable=SC2086  # one word for each
pbuild audit $arguments --format text --format json=audit.json "$image" || code=$?
case $code in
    0) echo "the image may go on" ;;
    10) echo "the image holds a secret: change its value, mend the Dockerfile, build again" >&2 ;;
    11) echo "not everything could be searched: this proves nothing" >&2 ;;
esac
exit "$code"
