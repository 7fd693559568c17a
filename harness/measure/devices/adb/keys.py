"""The keys by which phones know this machine: the user's own, or one made for bench."""

import base64
import getpass
import os
import socket
import struct
from pathlib import Path
from typing import Protocol

from adb_shell.auth.sign_pythonrsa import PythonRSASigner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.build.cache import cache_folder, only_one
from harness.errors import SetupError

MODULUS_BYTES = 256


class Signer(Protocol):
    """adb-shell's name for a key; the capital letters are its own."""

    def Sign(self, data: bytes) -> bytes: ...  # noqa: N802

    def GetPublicKey(self) -> str: ...  # noqa: N802


def signers() -> tuple[Signer, ...]:
    """The user's adb key where there is one, else bench's own, made on first use.

    Raises:
        SetupError: the user's key cannot be read, or is no key.
    """
    folder = os.environ.get("ANDROID_USER_HOME")
    users = Path(folder) if folder else Path.home() / ".android"
    key = users / "adbkey"
    if not key.exists():
        key = cache_folder("adb") / "adbkey"
        with only_one("adbkey"):
            if not key.exists():
                _make(key)
    try:
        text = key.read_text(encoding="ascii")
        return (PythonRSASigner(public_key(text), text),)
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(f"cannot use the adb key {key}: {error} (move it away, and a new one is made)") from error


def public_key(pem: str) -> str:
    """A private key's public half as adbd wants it, with a name that the phone may show.

    Raises:
        ValueError: no RSA key of 2048 bits.
    """
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != 8 * MODULUS_BYTES:
        raise ValueError("adb wants an RSA key of 2048 bits")
    numbers = key.public_key().public_numbers()
    # adbd keeps keys ready for Montgomery multiplication in 32-bit words: -1/n mod 2^32, and R^2 mod n.
    inverse = -pow(numbers.n, -1, 1 << 32) % (1 << 32)
    square = pow(1 << (8 * MODULUS_BYTES), 2, numbers.n)
    packed = struct.pack("<II", MODULUS_BYTES // 4, inverse)
    packed += numbers.n.to_bytes(MODULUS_BYTES, "little") + square.to_bytes(MODULUS_BYTES, "little")
    packed += struct.pack("<I", numbers.e)
    return f"{base64.b64encode(packed).decode()} {_user()}@{socket.gethostname() or 'unknown'}"


def _make(key: Path) -> None:
    made = rsa.generate_private_key(public_exponent=65537, key_size=8 * MODULUS_BYTES)
    pem = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    part = key.with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    part.rename(key)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        return "unknown"
