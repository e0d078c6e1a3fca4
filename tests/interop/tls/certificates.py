"""Certificates for one run, made with openssl: an authority, a broker, clients, and a stranger's."""

import subprocess


def _openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip


def _request(folder, name, subject):
    _openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
             "-out", f"{name}.csr", "-subj", subject)  # fmt: skip


def authority(folder, name):
    _openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
             "-out", f"{name}.pem", "-days", "30", "-subj", f"/CN=Interop {name}")  # fmt: skip


def sign(folder, name, by, subject, alternatives):
    """`name`.pem and `name`.key, which only ever appear whole."""
    _request(folder, name, subject)
    (folder / f"{name}.ext").write_text(f"subjectAltName={alternatives}\n")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key",
             "-CAcreateserial", "-out", f"{name}.pem", "-days", "30", "-extfile", f"{name}.ext")  # fmt: skip


def make(folder):
    for name in ("ca", "strangers"):
        authority(folder, name)
    server(folder)
    sign(folder, "client", "ca", "/O=Interop/CN=ann", "DNS:ann.interop")
    sign(folder, "stranger", "strangers", "/O=Interop/CN=ann", "DNS:ann.interop")
    # Readable for a broker that runs as another user.
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)


def server(folder):
    sign(folder, "server", "ca", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
