"""Document files: UTF-8 text, documents separated by a NUL character."""
import lzma
from pathlib import Path


def read_documents(path: Path) -> list[str]:
    """Reads a document file, packed with xz or not."""
    data = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    return [d for d in data.decode("utf-8").split("\0") if d.strip()]


def write_documents(path: Path, documents: list[str]) -> None:
    path.write_bytes("\0".join(documents).encode("utf-8"))
