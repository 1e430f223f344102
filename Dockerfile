# The image: one program, no shell, no user but its own. `make image` writes the same image without Docker, from the same
# files and the lines below; tools/image.sh reads them.
#
#   tools/image.sh files && docker build -t postern .
FROM scratch
COPY target/image/files/ /
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
LABEL org.opencontainers.image.title=postern
LABEL org.opencontainers.image.description="A self-service API gateway for Kubernetes"
LABEL org.opencontainers.image.licenses=Apache-2.0
USER 65532:65532
EXPOSE 8080 8443 8877
ENTRYPOINT ["/postern"]
CMD ["serve"]
