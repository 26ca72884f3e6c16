"""A small model that reads the gateway's prompt and acts: it calls tools until the task is done.

It is no language model: the same prompt gives the same answer. The user's words drive it.

The newest `[agent: …]` in the user's words is the task. Each step is one answer of the model. `;` or `; then`
stands between steps, and `&` between the calls of one step.

| directive | meaning |
|---|---|
| `NAME key=value text="a \\"b\\"" list=["a"]` | call the tool; a value is a word, or JSON |
| `NAME {"key": "value"}` | the same, with all arguments as one JSON object |
| `NAME` | call it; required arguments are made from the schema |
| `A x=1 & B y=2` | two calls in one answer, or one by one if the prompt says “at most one block” |
| `say "words" & A x=1` | words before the call, in the same answer |
| `12 times NAME n=$i` | twelve steps; `$i` counts the steps of the task from 1 |
| `$last`, `$1`, `$2` … | inside a value: the text of the last result, of the first, of the second |
| `answer "words"`, `answer {"json": 1}` | the final answer; without it, the answer quotes all results |

Example: `[agent: write_file path=a.txt content="hi"; then read_file path=a.txt; then answer "read: $last"]`

Without a directive the model understands a few plain requests (`tasks.py`): create a file with a text, read a
file, run a command. It finds the tool by arguments and name. If the prompt forces a call, it makes one in any
case. With a section `# Output`, the final answer is a JSON value that satisfies the schema.

Arguments of the scene, in `[scene:agent key=value]`; the scenes `agent_…` in `scenes/agents.py` set some:

| argument | meaning |
|---|---|
| `syntax=` | `taught` (default), or a name in `syntaxes.py`: `blocks`, `calls`, `dsml`, `native`, `json` … |
| `syntax=upstream` | the upstream's own layer takes the call |
| `shape=` | with `upstream`: `plain` (default), `list`, `object`, `inside`, `call_failed` |
| `step=N` | pieces of N characters; `step=1` cuts every tag; without it, words |
| `parts=1` | each piece is a part of its own, as glm-5.3 does |
| `where=think` | the blocks stand in the reasoning, and there is no text |
| `tail=1` | after the blocks the model invents a result and goes on |
| `narrates=1` | the model announces every call and makes none |
| `mistake=` | `misspelt`, `missing`, `mistyped`, `announced`, `destroyed`, `invalid_json`, `cut` |
| `at=N`, `at=all` | the mistake happens at this step of the task (default 1), or at each |
| `mistakes=N` | so many wrong answers in a row before the right one (default 1) |
| `form=0…2` | with `destroyed`: the form of the mangled name |

A mistake is repaired when the gateway asks again in the same conversation; a new conversation starts anew.
"""
