"""`make android-classes`: compiles Deblurrer.kt to the classes.jar that AARs carry.

Needs a JDK and Kotlin's compiler (apt-get install default-jdk-headless kotlin). Android's own classes are declared in
stubs/, just as far as Deblurrer.kt calls them: add there what it begins to call.
"""

import hashlib
import subprocess
import tempfile
import zipfile
from pathlib import Path

ANDROID = Path(__file__).parents[2] / "edgedeblur/runtime/android"
SOURCE, JAR = ANDROID / "Deblurrer.kt", ANDROID / "classes.jar"
STUBS = Path(__file__).with_name("stubs")
EPOCH = (1980, 1, 1, 0, 0, 0)
RELEASE = "8"  # of Java: what every Android build tool reads


def manifest(source: Path = SOURCE) -> bytes:
    """META-INF/MANIFEST.MF of the jar: of which source it was made."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return f"Manifest-Version: 1.0\r\nSource-SHA256: {digest}\r\n\r\n".encode()


def compile_classes(folder: Path) -> Path:
    """Compiles the stubs and Deblurrer.kt; the folder with the latter's classes."""
    stubs, classes = folder / "stubs", folder / "classes"
    files = sorted(str(path) for path in STUBS.rglob("*.java"))
    subprocess.run(["javac", "--release", RELEASE, "-Xlint:-options", "-d", stubs, *files], check=True)
    subprocess.run(["kotlinc", "-jvm-target", f"1.{RELEASE}", "-cp", stubs, "-d", classes, SOURCE], check=True)
    return classes


def write_jar(classes: Path, jar: Path = JAR) -> None:
    """The same classes give the same bytes."""
    parts = {"META-INF/MANIFEST.MF": manifest()}
    parts |= {path.relative_to(classes).as_posix(): path.read_bytes() for path in sorted(classes.rglob("*.*"))}
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="edgedeblur-classes-") as folder:
        write_jar(compile_classes(Path(folder)))
    print(f"{JAR}: {JAR.stat().st_size} bytes")


if __name__ == "__main__":
    main()
