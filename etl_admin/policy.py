"""What the site's pages may load, as a Content-Security-Policy: nothing but our own files."""

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

#: What is not here falls back on `default-src`: frames, workers, media, plug-ins.
PAGES = {
    "default-src": [NONE],
    # Alpine, which the admin's theme is built on, makes functions out of its attributes.
    "script-src": [SELF, UNSAFE_EVAL],
    # Attributes and elements of the theme, of htmx, of the editor and of Swagger UI.
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    "connect-src": [SELF],
    "base-uri": [SELF],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
    "object-src": [NONE],
}
