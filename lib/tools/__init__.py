"""Tool calls and structured output for a model that has neither: prompt, reader and checks. No I/O."""
