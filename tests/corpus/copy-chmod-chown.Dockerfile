FROM busybox
COPY --chmod=0755 app/main.txt /a
COPY --chown=nobody:nobody app/main.txt /b
COPY --chown=12:34 --chmod=640 app /c/
