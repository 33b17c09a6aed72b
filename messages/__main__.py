"""`python -m messages`: bring the Russian catalogue up to date, and say what is untranslated."""

import sys

from messages import catalogue


def main() -> int:
    """Exit code 1 while something has no translation."""
    found = catalogue.merged(catalogue.stored())
    catalogue.PO.write_bytes(catalogue.text_of(found))
    again = catalogue.stored()
    catalogue.MO.write_bytes(catalogue.compiled(again))
    lacking = catalogue.untranslated(again) + catalogue.misfilled(again)
    for text in lacking:
        print(f"To translate: {text}")
    print(f"{len(again)} messages in {catalogue.PO}, {len(lacking)} of them to be translated.")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
