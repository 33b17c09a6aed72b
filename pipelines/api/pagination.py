"""Paging of plain arrays: the totals and the other pages' addresses are in the headers."""

from typing import Any

from rest_framework.pagination import LimitOffsetPagination
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from pipelines.api.parameters import LARGEST, whole_number

MOST = 1000


class ArrayPagination(LimitOffsetPagination):
    """All rows, or those that `limit` and `offset` name."""

    request: Any
    limit: int | None
    offset: int
    count: int

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any]:
        """The rows of the page. Raises ValidationError for a wrong `limit` or `offset`."""
        given = request.query_params
        self.request = request
        self.limit = whole_number(given, "limit", least=1, most=MOST)
        self.offset = whole_number(given, "offset", least=0, most=LARGEST) or 0
        end = None if self.limit is None else self.offset + self.limit
        rows = list(queryset[self.offset : end])
        is_all = self.limit is None and self.offset == 0
        self.count = len(rows) if is_all else queryset.count()
        self.display_page_controls = self.limit is not None and self.count > self.limit
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        """The array, with `X-Total-Count`, and `Link` when it is a page."""
        headers = {"X-Total-Count": str(self.count)}
        if self.limit is not None:
            headers["Link"] = link_header(self._pages(self.limit))
        return Response(data, headers=headers)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The array itself."""
        return schema

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """`limit` and `offset`, with their ranges."""
        ranges = {"limit": (1, MOST), "offset": (0, LARGEST)}
        return [
            {
                "name": name,
                "required": False,
                "in": "query",
                "schema": {"type": "integer", "minimum": least, "maximum": most},
            }
            for name, (least, most) in ranges.items()
        ]

    def _pages(self, limit: int) -> dict[str, str | None]:
        here = replace_query_param(self.request.build_absolute_uri(), "limit", limit)
        last = max(self.count - 1, 0) // limit * limit
        return {
            "first": remove_query_param(here, "offset"),
            "prev": self.get_previous_link(),
            "next": self.get_next_link(),
            "last": replace_query_param(here, "offset", last),
        }


def link_header(pages: dict[str, str | None]) -> str:
    """The `Link` header of RFC 8288 for the addresses by their relation."""
    return ", ".join(f'<{address}>; rel="{rel}"' for rel, address in pages.items() if address)
