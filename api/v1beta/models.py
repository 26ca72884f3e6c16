"""/v1beta/models, /v1beta/models/{name} and the actions on a model: Google's dialect."""

from lib.web.models import always_gemini, models_app

app = models_app("/v1beta/models", always_gemini)
