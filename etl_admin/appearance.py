"""How the admin looks: the theme's settings, its colours, and our own styles and scripts."""

from typing import Any

from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

_BLUE = {
    "50": "oklch(97% .014 254.604)",
    "100": "oklch(93.2% .032 255.585)",
    "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)",
    "400": "oklch(70.7% .165 254.624)",
    "500": "oklch(62.3% .214 259.815)",
    "600": "oklch(54.6% .245 262.881)",
    "700": "oklch(48.8% .243 264.376)",
    "800": "oklch(42.4% .199 265.638)",
    "900": "oklch(37.9% .146 265.522)",
    "950": "oklch(28.2% .091 267.935)",
}

_COLOURS: dict[str, Any] = {
    "primary": _BLUE,
    # The theme's own is too pale on the ground of what the mouse is over.
    "font": {"subtle-light": "var(--color-base-600)", "subtle-dark": "var(--color-base-300)"},
}

THEME: dict[str, Any] = {
    "SITE_TITLE": "ETL",
    "SITE_HEADER": "ETL",
    "SITE_SUBHEADER": _("Tables kept up to date"),
    "SITE_SYMBOL": "conversion_path",
    "SITE_URL": None,
    "SHOW_LANGUAGES": True,
    "DASHBOARD_CALLBACK": "etl_admin.dashboard.fill",
    "SIDEBAR": {"navigation": "etl_admin.dashboard.sidebar"},
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("pipelines/favicon.svg"),
        }
    ],
    "SCRIPTS": [
        "etl_admin.dashboard.zone_script",
        lambda _request: static("pipelines/charts.js"),
        lambda _request: static("pipelines/reach.js"),
    ],
    "STYLES": [lambda _request: static("pipelines/admin.css")],
    "COLORS": _COLOURS,
}
