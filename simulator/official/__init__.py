"""An imitation of the vendor's official API (official.md), quirks included.

The model is the one of `simulator.agent`: `[agent: …]` in the user's words directs it, with native tools.
A tag `[scene:NAME key=value]` in the user's newest words or in a system message chooses one of `scenes/`.
"""
