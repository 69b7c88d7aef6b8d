# escape=`
FROM busybox
RUN echo one `
  two > /joined
ENV PATHLIKE=C:\dir\`$x
