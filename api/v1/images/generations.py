"""POST /v1/images/generations: OpenAI's images."""

from lib.web.images import images_app

app = images_app("/v1/images/generations")
