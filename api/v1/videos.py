"""/v1/videos and /v1/videos/generations: OpenAI's videos, and the older bridges' videos."""

from lib.web.videos import videos_app

app = videos_app()
