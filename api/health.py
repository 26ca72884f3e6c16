"""GET /health: the configuration and the store. A key of API_KEYS and `?deep=1` show everything."""

from lib.web.health import health_app

app = health_app()
