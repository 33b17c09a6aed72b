"""Query parameters: unknown ones and wrong values are refused by name, not passed over."""

import re
from collections.abc import Collection
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError

#: A search form sends `search` empty; Swagger UI asks for its script with a bare `script`.
MAY_BE_EMPTY = {"search", "script"}
LARGEST = 2**31 - 1


def refuse_unknown(given: Any, known: Collection[str]) -> None:
    """Raises ValidationError naming each parameter that is not known, given twice, or empty."""
    errors = {}
    for name, values in given.lists():
        facts = {"name": name[:63], "known": ", ".join(known)}
        if name not in known and not known:
            errors[name] = [_("There is no parameter “%(name)s”; none is taken here.") % facts]
        elif name not in known:
            errors[name] = [_("There is no parameter “%(name)s”. There are: %(known)s.") % facts]
        elif len(values) > 1:
            errors[name] = [_("The parameter “%(name)s” is given more than once.") % facts]
        elif values == [""] and name not in MAY_BE_EMPTY:
            errors[name] = [_("The parameter “%(name)s” is empty.") % facts]
    if errors:
        raise ValidationError(errors)


def whole_number(given: Any, name: str, *, least: int, most: int) -> int | None:
    """The number given as `name`, None when it is not. Raises ValidationError."""
    text = given.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
        facts = {"least": least, "most": most}
        raise ValidationError({name: [_("Give a number from %(least)d to %(most)d.") % facts]})
    return int(text)
