FROM busybox AS first
RUN echo first > /first
FROM first AS middle
RUN echo middle > /middle
CMD ["middle"]
FROM middle AS last
RUN exit 9
