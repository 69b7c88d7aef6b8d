FROM busybox
RUN --mount=type=cache,target=/cache,id=corpus,mode=0700,sharing=locked echo kept > /cache/file && cat /cache/file > /a
RUN --mount=type=cache,target=/cache,id=corpus cat /cache/file > /b; stat -c %a /cache > /c
