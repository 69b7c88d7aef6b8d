# a comment

   # another
FROM busybox
RUN echo one \
# within
    two \

    three > /joined
