"""`make android-classes`: compiles Deblurrer.kt to the classes.jar that AARs carry, and the examples in Kotlin with it.

Needs a JDK and Kotlin's compiler (apt-get install default-jdk-headless kotlin). Android's own classes are declared in
stubs/, just as far as Deblurrer.kt and the examples call them: add there what they begin to call.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ANDROID = ROOT / "edgedeblur/runtime/android"
SOURCE, JAR = ANDROID / "Deblurrer.kt", ANDROID / "classes.jar"
STUBS = Path(__file__).with_name("stubs")
EPOCH = (1980, 1, 1, 0, 0, 0)
RELEASE = "8"  # of Java: what every Android build tool reads
EXAMPLES = (ROOT / "docs/camera.md", ROOT / "docs/android-app.md", ANDROID / "README.md")
# What the app around an example has.
AROUND = {
    "photo": "android.graphics.Bitmap",
    "imageReader": "android.media.ImageReader",
    "view": "android.widget.ImageView",
    "backgroundHandler": "android.os.Handler",
}
IMPORTED = ("android.graphics.Bitmap", "io.edgedeblur.Deblurrer", "io.edgedeblur.Mask")


def manifest(source: Path = SOURCE) -> bytes:
    """META-INF/MANIFEST.MF of the jar: of which source it was made."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return f"Manifest-Version: 1.0\r\nSource-SHA256: {digest}\r\n\r\n".encode()


def compile_classes(folder: Path) -> Path:
    """Compiles the stubs and Deblurrer.kt; the folder with the latter's classes."""
    stubs, classes = folder / "stubs", folder / "classes"
    files = sorted(str(path) for path in STUBS.rglob("*.java"))
    subprocess.run(["javac", "--release", RELEASE, "-Xlint:-options", "-d", stubs, *files], check=True)
    compile_kotlin([SOURCE], [stubs], classes)
    return classes


def compile_kotlin(sources: list[Path], needed: list[Path], classes: Path) -> None:
    path = ":".join(map(str, needed))
    subprocess.run(["kotlinc", "-jvm-target", f"1.{RELEASE}", "-cp", path, "-d", classes, *sources], check=True)


def examples() -> dict[str, str]:
    """Kotlin files by name: each example of EXAMPLES that makes a Deblurrer as the body of a function of its own."""
    around = ", ".join(f"{name}: {kind}" for name, kind in AROUND.items())
    found = {}
    for document in EXAMPLES:
        blocks = re.findall(r"^```kotlin\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for number, block in enumerate(block for block in blocks if "Deblurrer(" in block):
            name = f"{re.sub(r'[^a-z]', '_', document.stem.lower())}{number}"
            imports = {f"import {kind}" for kind in IMPORTED} | set(re.findall(r"^import .*$", block, re.MULTILINE))
            body = re.sub(r"^import .*\n", "", block, flags=re.MULTILINE)
            found[f"{name}.kt"] = "\n".join([*sorted(imports), f"fun {name}({around}) {{", body, "}\n"])
    return found


def check_examples(folder: Path, classes: Path) -> int:
    """Compiles them against what `compile_classes` made in the folder; how many there are."""
    written = folder / "examples"
    written.mkdir()
    for name, text in examples().items():
        (written / name).write_text(text, encoding="utf-8")
    written = sorted(written.iterdir())
    compile_kotlin([*written, STUBS / "use.kt"], [folder / "stubs", classes], folder / "examples-classes")
    return len(written)


def write_jar(classes: Path, jar: Path = JAR) -> None:
    """The same classes give the same bytes."""
    parts = {"META-INF/MANIFEST.MF": manifest()}
    parts |= {path.relative_to(classes).as_posix(): path.read_bytes() for path in sorted(classes.rglob("*.*"))}
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)


def main() -> None:
    missing = [program for program in ("javac", "kotlinc") if shutil.which(program) is None]
    if missing:
        sys.exit(f"no {' and no '.join(missing)}: apt-get install default-jdk-headless kotlin")
    with tempfile.TemporaryDirectory(prefix="edgedeblur-classes-") as folder:
        classes = compile_classes(Path(folder))
        count = check_examples(Path(folder), classes)
        write_jar(classes)
    print(f"{JAR}: {JAR.stat().st_size} bytes; {count} examples in Kotlin compile with it")


if __name__ == "__main__":
    main()
