"""The ASGI entry point; everything here also runs under WSGI."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_admin.settings")

application = get_asgi_application()
