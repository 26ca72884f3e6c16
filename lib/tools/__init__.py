"""Tool calls and structured output for a model that has neither: the prompt, the reader, the checks. No I/O."""
