"""A file of code whose quotes, tags and backslashes must arrive as they are."""

CODE = 'def f(a):\n    """Say "hi"."""\n    return "</in_content>" if a < 1 else "C:\\\\new"\n'
