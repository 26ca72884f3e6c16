"""The vendor's official API as an upstream. Flows use `lib.upstreams.interface`, and nothing in here."""
