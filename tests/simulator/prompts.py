"""Prompts in the form of the contract (tools.md §3.2 and §3.3), written by hand."""

from __future__ import annotations

SECTION = """# Actions
You work for a program that runs actions on the user's machine and sends you their results.
To run an action, write a block like this, starting on a new line:

<bridge_run>
<tool>read_file</tool>
<in_path>src/app.py</in_path>
</bridge_run>
- One block per action. Independent actions: several blocks, one after another.

Example. User: how many lines has setup.cfg?
Good answer:
<bridge_run>
<tool>bash</tool>
<in_command>wc -l < setup.cfg</in_command>
</bridge_run>

Available actions (name, what it does, arguments as JSON Schema)
read_file: Read a file {text only}. {"path":"string, required","limit":"integer"}
write_file: Write a file. {"path":"string, required","content":"string, required"}
bash: Run a shell command. {"command":"string, required","timeout_ms":"integer"}
todo: Replace the list. {"items":{"type":"array","items":{"type":"object","properties":\
{"t":{"type":"string"},"done":{"type":"boolean"}},"required":["t","done"]},"required":true}}
client_search: Search the project's text. {"query":"string, required","mode":"string, one of: fast, deep"}
now: Tell the time. {}

"""
REMINDER = (
    "(To act, write a <bridge_run> block with one of: read_file, write_file, bash, todo, client_search, now. "
    "Otherwise answer the user.)"
)
REQUIRED = "(This answer must contain at least one <bridge_run> block.)"
NAMED = "(This answer must contain exactly one block, with the tool bash.)"
ONE = "(At most one block.)"
OUTPUT = """# Output
Answer with one JSON value and nothing else. It must satisfy this JSON Schema:
{"type":"object","properties":{"city":{"type":"string"},"degrees":{"type":"integer","minimum":10}},\
"required":["city","degrees"]}

"""


def single(words: str, *, reminders: str = REMINDER, section: str = SECTION, output: str = "") -> str:
    """Make the prompt of one message: no role markers."""
    return f"{words}\n\n{section}{output}{reminders}"


def result(number: int, tool: str, text: str, *, failed: bool = False) -> str:
    head = f"action {number}: {tool} (path: a.txt){', failed' if failed else ''}"
    return f"<bridge_result>\n{head}\n{text}\n</bridge_result>\n"


def block(tool: str, argument: str, value: str) -> str:
    return f"<bridge_run>\n<tool>{tool}</tool>\n<in_{argument}>{value}</in_{argument}>\n</bridge_run>\n"


def history(*turns: tuple[str, str], reminders: str = REMINDER, output: str = "") -> str:
    """Make the prompt of several turns, each under its marker, with an open assistant's turn at the end."""
    told = "".join(f"<|{role}|>\n{text}\n" for role, text in turns)
    return f"{told}{SECTION}{output}{reminders}\n<|assistant|>\n"
