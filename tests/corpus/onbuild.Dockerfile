FROM busybox AS parent
ONBUILD RUN echo triggered > /triggered
ONBUILD COPY app/main.txt /from-trigger
ONBUILD ENV TRIGGERED=yes
ONBUILD LABEL by=trigger
FROM parent
RUN cat /triggered > /after
