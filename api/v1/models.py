"""GET /v1/models, /v1/models/{name}: in the form that the headers choose; and Google's actions on a model."""

from lib.web.models import by_headers, models_app

app = models_app("/v1/models", by_headers)
