"""GET /health: the configuration, and whether the store works; to a key with `?deep=1`, everything."""

from lib.web.health import health_app

app = health_app()
