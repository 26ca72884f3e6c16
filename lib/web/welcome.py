"""The page at `/`: the API's address and two examples. It has no script, and loads nothing from elsewhere."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse

from lib.web.address import own_address

HEADERS = {
    # The hash belongs to the page's one style element. A test checks it.
    "content-security-policy": "default-src 'none'; "
    "style-src 'sha256-61RQY+gjFrtmZn5JbzIujdIAlKdweTRXd7KM1VrIZNg='; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>glm-gateway</title>
<style>
body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem;
  color: #1a1a1a; }}
code, pre {{ font: 14px/1.5 ui-monospace, monospace; background: #f3f3f5; border-radius: 6px; }}
code {{ padding: .1em .3em; }} pre {{ padding: 1rem; overflow-x: auto; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #16161a; color: #e6e6e6; }} code, pre {{ background: #26262c; }}
}}
</style>
<h1>glm-gateway</h1>
<p>Your own GLM account, as an API that OpenAI clients can use. It is running.</p>
<p>Base URL: <code>{base_url}</code></p>
<h2>curl</h2>
<pre>curl {base_url}/chat/completions \\
  -H "Authorization: Bearer $API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "glm-5.3-flash", "stream": true,
       "messages": [{{"role": "user", "content": "Hello!"}}]}}'</pre>
<h2>OpenAI SDK for Python</h2>
<pre>from openai import OpenAI

client = OpenAI(base_url="{base_url}", api_key="…")
answer = client.chat.completions.create(
    model="glm-5.3-flash",
    messages=[{{"role": "user", "content": "Hello!"}}],
)
print(answer.choices[0].message.content)</pre>
<p><a href="health">/health</a> shows the configuration. <a href="openapi.json">/openapi.json</a> describes
every endpoint. This is for personal use with your own account. For anything more, please use the vendor's
official API.</p>
</html>
"""


def welcome_page(request: Request) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(base_url=escape(f"{own_address(request)}/v1")), headers=HEADERS)
