"""POST /token/check: check refresh tokens."""

from lib.web.token import token_app

app = token_app()
