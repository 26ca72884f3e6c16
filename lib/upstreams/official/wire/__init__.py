"""The official API's wire: its calls, its refusals, and a gate for each key and model."""
