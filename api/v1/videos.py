"""/v1/videos and /v1/videos/generations: OpenAI's videos, and videos as the older bridges have them."""

from lib.web.videos import videos_app

app = videos_app()
