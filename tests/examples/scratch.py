"""A scratch environment: it sees what this one has installed, and what is installed into it is its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


@dataclass(frozen=True)
class Scratch:
    """An environment in `folder`; its commands run in `folder/work`, where no package lies."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Scratch:
        """`venv` sees the interpreter's packages; a line in a `.pth` file adds those of the environment we run in."""
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", folder], check=True)
        (folder / "work").mkdir()
        made = cls(folder)
        outer = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (made.packages / "outer.pth").write_text(outer, encoding="utf-8")
        return made

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def packages(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def install(self, name: str, *, wheels: Path) -> None:
        where = ("--no-index", "--find-links", str(wheels))
        self._check(*PIP, "install", "--no-deps", *where, name)

    def uninstall(self, name: str) -> None:
        self._check(*PIP, "uninstall", "--yes", name)

    def run(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """The environment's Python with these arguments."""
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON", "TRIPTYCH"))
        }
        command = [str(self.folder / "bin" / "python"), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=self.work, env=environment, timeout=timeout, check=False
        )

    def triptych(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of triptych, which shows no traceback."""
        done = self.run("-m", "triptych.cli", *arguments)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def _check(self, *arguments: str) -> None:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def build_wheel(source: Path, *, into: Path) -> Path:
    """The wheel of the package in `source`, built from a copy: a build leaves files beside what it builds."""
    copy = into / "source" / source.name
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    command = [sys.executable, *PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(into), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = into.glob(f"{source.name.replace('-', '_')}-*.whl")
    return wheel
