// The tools of an agent, over a small file system: their names, schemas and functions. Every call is kept.
import { createRequire } from "node:module";

export const require = createRequire(`${process.env.CLIENTS_NODE}/`);
const { z } = require("zod");

export const City = z.object({ name: z.string(), people: z.int(), tags: z.array(z.string()) });

const files = {};
export const called = [];

const tool = (name, description, parameters, run) => ({
  name,
  description,
  parameters,
  run: async (given) => {
    called.push([name, given]);
    return run(given);
  },
});

export const tools = [
  tool("write_file", "Write a file.", z.object({ path: z.string(), content: z.string() }), ({ path, content }) => {
    files[path] = content;
    return "written";
  }),
  tool(
    "read_file",
    "Read a file, up to a limit of lines.",
    z.object({ path: z.string(), limit: z.int() }),
    ({ path }) => files[path] ?? "no such file",
  ),
  tool(
    "plan",
    "Replace the plan.",
    z.object({ steps: z.array(z.object({ title: z.string() })) }),
    () => "planned",
  ),
  tool("find_text", "Search the project's text.", z.object({ words: z.string() }), () => "nothing found"),
];
