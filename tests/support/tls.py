"""TLS in front of a server that has none, as a reverse proxy is: with a
certificate for 127.0.0.1, of an authority that nobody knows."""

import datetime
import ipaddress
import os
import socket
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class TlsFront:
    """`url` is https; `ca_file` has the authority. Hands everything through
    to `port` of 127.0.0.1."""

    def __init__(self, port, dir):
        self.port = port
        self.ca_file = os.path.join(str(dir), "authority.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certify(str(dir)))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, args=(context,),
                         daemon=True).start()

    def _certify(self, dir):
        """Writes authority and certificate; the latter's path, with key."""
        now = datetime.datetime.now(datetime.timezone.utc)
        key = ec.generate_private_key(ec.SECP256R1())
        ca_key = ec.generate_private_key(ec.SECP256R1())

        def name(text):
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        def sign(subject, public_key, extension):
            return x509.CertificateBuilder(
                issuer_name=name("An Authority"), subject_name=name(subject),
                public_key=public_key, serial_number=x509.random_serial_number(),
                not_valid_before=now - datetime.timedelta(days=1),
                not_valid_after=now + datetime.timedelta(days=1)
            ).add_extension(extension, critical=True).sign(
                ca_key, hashes.SHA256()).public_bytes(
                    serialization.Encoding.PEM)

        with open(self.ca_file, "wb") as f:
            f.write(sign("An Authority", ca_key.public_key(),
                         x509.BasicConstraints(True, None)))
        path = os.path.join(dir, "certificate.pem")
        with open(path, "wb") as f:
            f.write(sign("127.0.0.1", key.public_key(),
                         x509.SubjectAlternativeName([x509.IPAddress(
                             ipaddress.ip_address("127.0.0.1"))])))
            f.write(key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()))
        return path

    def _serve(self, context):
        while True:
            try:
                raw, _ = self._server.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._hand_through,
                             args=(raw, context), daemon=True).start()

    def _hand_through(self, raw, context):
        try:
            with context.wrap_socket(raw, server_side=True) as near, \
                    socket.create_connection(("127.0.0.1", self.port)) as far:
                back = threading.Thread(target=_copy, args=(far, near),
                                        daemon=True)
                back.start()
                _copy(near, far)
                back.join()
        except OSError:
            raw.close()

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def _copy(source, target):
    """Until the source ends, which the target is told."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
