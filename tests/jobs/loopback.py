"""Servers on loopback that answer as a test wants, byte by byte if need be."""

import contextlib
import datetime
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


@dataclass
class Server:
    """A running server.

    Attributes:
        port: Where it listens.
        requests: The bytes of each request, in the order in which they came.
    """

    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def heads(self) -> list[str]:
        return [request.split(b"\r\n\r\n")[0].decode() for request in self.requests]


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def status(code: int) -> Callable[[socket.socket], None]:
    return answering(f"HTTP/1.1 {code} Whatever\r\nContent-Length: 0\r\n\r\n".encode())


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    """Answer each request with the next of these, the last one again and again."""
    left = list(answers)
    return lambda connection: connection.sendall(left.pop(0) if len(left) > 1 else left[0])


def repeating(beginning: bytes, piece: bytes, pause: threading.Event) -> Callable[[socket.socket], None]:
    """Send `piece` until the client has enough; with a pause between two, until the test ends."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(beginning)
        while not pause.wait(0.02 if len(piece) < 100 else 0):
            connection.sendall(piece)

    return answer


@contextlib.contextmanager
def serving(
    answer: Callable[[socket.socket], None], *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """Serve one request a connection while the block runs."""
    listener = socket.create_server((host, 0))
    server = Server(listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=converse, args=[connection])
            threads.append(thread)
            thread.start()

    def converse(connection: socket.socket) -> None:
        # The client may leave whenever it likes.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if tls:
                connection = stack.enter_context(tls.wrap_socket(connection, server_side=True))
            server.requests.append(read_request(connection))
            answer(connection)

    acceptor = threading.Thread(target=serve)
    acceptor.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [acceptor, *threads]:
            thread.join()


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    while length and len(body) < int(length[1]):
        body += received(connection)
    return head + b"\r\n\r\n" + body


def received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the client left")
    return data


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate for `name`: the context of its server, and that of a client which trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    end = begin + datetime.timedelta(days=2)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begin, end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(private + signed.public_bytes(encoding))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cadata=signed.public_bytes(encoding).decode())
