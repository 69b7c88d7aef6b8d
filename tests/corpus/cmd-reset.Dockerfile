FROM busybox AS base
CMD ["a"]
ENTRYPOINT ["b"]
FROM base
ENTRYPOINT ["c"]
CMD []
