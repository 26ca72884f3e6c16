"""The page at `/`: where the API is, and two examples to copy."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

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
<p><a href="health">/health</a> says what is configured. For personal use with your own account;
for anything more, please use the vendor's official API.</p>
</html>
"""


def welcome_page(request: Request) -> HTMLResponse:
    base_url = escape(f"{_scheme(request)}://{request.url.netloc}{_stage(request)}/v1")
    headers = {"content-security-policy": CONTENT_SECURITY_POLICY, "cache-control": "no-store"}
    return HTMLResponse(_PAGE.format(base_url=base_url), headers=headers)


def _stage(request: Request) -> str:
    """Return what API Gateway puts before our paths (`/prod`), and takes off before we see them."""
    outside = request.scope.get("aws.event", {}).get("requestContext", {}).get("path") or ""
    return str(outside).removesuffix(request.url.path).rstrip("/")


def _scheme(request: Request) -> str:
    """Return what the browser speaks; hosts end TLS before us and say so here. Nothing else trusts it."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return forwarded if forwarded in ("http", "https") else request.url.scheme
