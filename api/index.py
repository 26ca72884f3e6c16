"""GET /, /openapi.json, /ping, /robots.txt; the 404 of all other paths."""

from lib.web.index import index_app

app = index_app()
